use super::*;
use crate::{LongTexts, WrittenAs};

/// A directory of empty files, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("kubesentiment-{name}-{}", std::process::id()));
        for file in files.iter().chain(&["tokenizer.json"]) {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "{}").unwrap();
        }
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn model_config(labels: Option<&[&str]>) -> ModelConfig {
    let labels = labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect());
    let written = WrittenAs {
        max_tokens: "MLOPS_MAX_TOKENS".to_owned(),
        labels: "labels in a.yaml".to_owned(),
        drop_labels: "MLOPS_DROP_LABELS".to_owned(),
        neutral_band: "MLOPS_NEUTRAL_BAND".to_owned(),
    };
    ModelConfig {
        name: "m".to_owned(),
        path: PathBuf::new(),
        digest: None,
        max_tokens: None,
        labels,
        drop_labels: None,
        neutral_band: 0.0,
        problem: None,
        threshold: 0.5,
        long_texts: LongTexts::Cut,
        split_special_tokens: true,
        written,
    }
}

#[test]
fn model_files_in_the_predecessors_order() {
    let mut files = vec!["config.json", "zeta.onnx", "alpha.onnx"];
    files.extend(MODEL_FILES);
    let folder = Folder::new("order", &files);
    for expected in MODEL_FILES.into_iter().chain(["alpha.onnx", "zeta.onnx"]) {
        let found = ModelDirectory::open(&folder.0).unwrap().model_file;
        assert_eq!(found, folder.0.join(expected));
        fs::remove_file(found).unwrap();
    }
    let error = ModelDirectory::open(&folder.0).unwrap_err().to_string();
    assert!(error.starts_with(&format!("model directory {} holds no *.onnx file; ", folder.0.display())), "{error}");
}

#[test]
fn an_onnx_folder_below_and_a_file_itself() {
    let folder = Folder::new("below", &["config.json", "onnx/model.onnx", "onnx/other.onnx"]);
    let found = ModelDirectory::open(&folder.0).unwrap();
    assert_eq!(found.model_file, folder.0.join("onnx/model.onnx"));
    let found = ModelDirectory::open(&folder.0.join("onnx/other.onnx")).unwrap();
    assert_eq!((found.root, found.model_file), (folder.0.clone(), folder.0.join("onnx/other.onnx")));
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let error = ModelDirectory::open(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.starts_with("model path /nowhere can't be read"), "{error}");
    let folder = Folder::new("broken", &["model.onnx"]);
    let error = ModelDirectory::open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("config.json can't be read"), "{error}");
    folder.write("config.json", "{");
    let error = ModelDirectory::open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("config.json is not usable: EOF"), "{error}");
}

#[test]
fn labels_come_from_the_settings_then_the_file_then_numbers() {
    let folder = Folder::new("labels", &["model.onnx", "config.json"]);
    let open = || ModelDirectory::open(&folder.0).unwrap();
    let names = |config: &ModelConfig, outputs| {
        let head = open().head(config, outputs, false).map_err(|error| error.to_string())?;
        Ok::<_, String>(head.names().map(str::to_owned).collect::<Vec<_>>())
    };
    let given = |labels: &[&str]| model_config(Some(labels));

    assert_eq!(names(&model_config(None), 2).unwrap(), ["LABEL_0", "LABEL_1"]);
    folder.write("config.json", r#"{"id2label":{"0":"bad","1":"so-so","2":"good"}}"#);
    assert_eq!(names(&model_config(None), 3).unwrap(), ["bad", "so-so", "good"]);
    assert_eq!(names(&given(&["a", "b", "c"]), 3).unwrap(), ["a", "b", "c"]);

    let error = names(&model_config(None), 2).unwrap_err();
    assert!(error.starts_with("config.json names 3 labels, but the model has 2 classes"), "{error}");
    names(&model_config(None), 1).unwrap_err();
    let error = names(&given(&["a"]), 3).unwrap_err();
    assert_eq!(error, "labels in a.yaml has 1 labels, but the model has 3 classes");
}

#[test]
fn the_head_is_what_the_files_and_the_settings_say() {
    use Activation::{Identity, Sigmoid, Softmax};
    use Problem::{MultiLabel, Regression, SingleLabel};

    let folder = Folder::new("head", &["model.onnx", "config.json"]);
    let head = |json: &str, config: &ModelConfig, outputs, is_activated| {
        folder.write("config.json", json);
        let head = ModelDirectory::open(&folder.0).unwrap().head(config, outputs, is_activated);
        head.map(|head| (head.problem(), head.activation(), head.names().len())).map_err(|error| error.to_string())
    };
    let config = model_config(None);
    for (json, outputs, is_activated, expected) in [
        ("{}", 3, false, (SingleLabel, Softmax, 3)),
        ("{}", 1, false, (SingleLabel, Sigmoid, 1)),
        ("{}", 3, true, (SingleLabel, Identity, 3)),
        (r#"{"problem_type":null}"#, 2, false, (SingleLabel, Softmax, 2)),
        (r#"{"problem_type":"single_label_classification"}"#, 2, false, (SingleLabel, Softmax, 2)),
        (r#"{"problem_type":"multi_label_classification"}"#, 28, false, (MultiLabel, Sigmoid, 28)),
        (r#"{"problem_type":"multi_label_classification"}"#, 28, true, (MultiLabel, Identity, 28)),
        (r#"{"problem_type":"regression"}"#, 1, false, (Regression, Identity, 1)),
        (r#"{"id2label":{"0":"NEGATIVE","1":"POSITIVE"}}"#, 1, false, (SingleLabel, Sigmoid, 2)),
    ] {
        assert_eq!(head(json, &config, outputs, is_activated), Ok(expected), "{json}");
    }
    let error = head(r#"{"problem_type":"token"}"#, &config, 2, false).unwrap_err();
    assert!(error.contains("its problem_type is \"token\", and served are single_label_classification"), "{error}");
    let overridden = ModelConfig { problem: Some(MultiLabel), ..model_config(None) };
    assert_eq!(head(r#"{"problem_type":"token"}"#, &overridden, 2, false), Ok((MultiLabel, Sigmoid, 2)));
    // Two names of one output are those of a choice.
    head(r#"{"problem_type":"regression","id2label":{"0":"a","1":"b"}}"#, &config, 1, false).unwrap_err();
    let banded = ModelConfig { neutral_band: 0.6, ..model_config(None) };
    let error = head(r#"{"problem_type":"regression"}"#, &banded, 1, false).unwrap_err();
    assert!(error.starts_with("MLOPS_NEUTRAL_BAND is set, but the model's answers are of regression"), "{error}");
}

#[test]
fn labels_are_left_out_by_the_names_that_the_settings_gave_them() {
    let folder = Folder::new("drop", &["model.onnx", "config.json"]);
    let left = |json: &str, config: &ModelConfig, outputs| {
        folder.write("config.json", json);
        let head = ModelDirectory::open(&folder.0).unwrap().head(config, outputs, false);
        let names = |head: Head| head.names().map(str::to_owned).collect::<Vec<_>>();
        head.map(names).map_err(|error| error.to_string())
    };
    let dropping = |label: &str| ModelConfig { drop_labels: Some(vec![label.to_owned()]), ..model_config(None) };
    let named = r#"{"id2label":{"0":"NEGATIVE","1":"NEUTRAL","2":"POSITIVE"}}"#;
    assert_eq!(left(named, &dropping("neutral"), 3).unwrap(), ["NEGATIVE", "POSITIVE"]);
    assert_eq!(left("{}", &dropping("label_1"), 3).unwrap(), ["LABEL_0", "LABEL_2"]);
    let labels = model_config(Some(&["no", "so-so", "yes"]));
    let renamed = ModelConfig { labels: labels.labels, neutral_band: 0.6, ..dropping("So-So") };
    assert_eq!(left(named, &renamed, 3).unwrap(), ["no", "yes"]);

    let labels = model_config(Some(&["no", "so-so", "yes"])).labels;
    let error = left(named, &ModelConfig { labels, ..dropping("NEUTRAL") }, 3).unwrap_err();
    let expected =
        r#"MLOPS_DROP_LABELS names "NEUTRAL", which is no label of the model: its labels are no, so-so, yes"#;
    assert_eq!(error, expected);
    let two = r#"{"id2label":{"0":"NEGATIVE","1":"POSITIVE"}}"#;
    let error = left(two, &dropping("POSITIVE"), 2).unwrap_err();
    assert!(
        error.starts_with("MLOPS_DROP_LABELS leaves fewer than two of the model's labels, which are NEG"),
        "{error}"
    );
    for (json, outputs, what) in [
        (r#"{"problem_type":"multi_label_classification"}"#, 3, "multi_label_classification"),
        (r#"{"problem_type":"regression"}"#, 3, "regression"),
        (two, 1, "one output"),
    ] {
        let error = left(json, &dropping("LABEL_1"), outputs).unwrap_err();
        assert!(
            error.starts_with(&format!("MLOPS_DROP_LABELS is set, but the model's answers are of {what},")),
            "{error}"
        );
    }
}

#[test]
fn the_token_limit_respects_the_models_positions() {
    let folder = Folder::new("limit", &["model.onnx", "config.json"]);
    let limit = |json: &str, asked| {
        folder.write("config.json", json);
        let config = ModelConfig { max_tokens: asked, ..model_config(None) };
        ModelDirectory::open(&folder.0).unwrap().token_limit(&config).map_err(|error| error.to_string())
    };
    assert_eq!(limit("{}", None), Ok(512));
    assert_eq!(limit(r#"{"max_position_embeddings":128}"#, None), Ok(128));
    assert_eq!(limit(r#"{"max_position_embeddings":8192}"#, None), Ok(512));
    assert_eq!(limit(r#"{"max_position_embeddings":8192}"#, Some(1024)), Ok(1024));
    let roberta = r#"{"model_type":"roberta","max_position_embeddings":514,"pad_token_id":1}"#;
    assert_eq!(limit(roberta, None), Ok(512));
    assert_eq!(limit(roberta, Some(513)), Err("MLOPS_MAX_TOKENS is 513, but the model takes at most 512".to_owned()));
}

#[test]
fn hidden_files_are_no_models() {
    let folder = Folder::new("hidden", &["._sentiment.onnx", "sentiment.onnx", "config.json"]);
    assert_eq!(ModelDirectory::open(&folder.0).unwrap().model_file, folder.0.join("sentiment.onnx"));
}

#[test]
fn only_what_is_used_of_config_json_can_be_wrong() {
    let folder = Folder::new("used", &["model.onnx", "config.json"]);
    folder.write("config.json", r#"{"id2label":{"bad":0,"good":1},"eps":NaN,"pad_token_id":-1,"problem_type":null}"#);
    let directory = ModelDirectory::open(&folder.0).unwrap();
    assert_eq!((directory.padding(), directory.named_labels()), (0, None));
    let error = directory.head(&model_config(None), 2, false).unwrap_err().to_string();
    assert!(error.contains("label2id") && error.contains("MLOPS_LABELS"), "{error}");
    assert!(directory.head(&model_config(Some(&["a", "b"])), 2, false).is_ok());
}

#[test]
fn a_tokenizer_is_looked_for_in_all_its_forms() {
    let folder = Folder::new("forms", &["model.onnx", "config.json"]);
    let found =
        || ModelDirectory::open(&folder.0).map(|directory| directory.tokenizer).map_err(|error| error.to_string());
    let file = |name: &str| folder.0.join(name);
    assert_eq!(found(), Ok(TokenizerFiles::Whole(file("tokenizer.json"))));
    fs::remove_file(file("tokenizer.json")).unwrap();
    let error = found().unwrap_err();
    assert!(error.contains("holds no tokenizer.json; transformers writes it"), "{error}");
    folder.write("spm.model", "");
    let error = found().unwrap_err();
    assert!(error.contains("holds no tokenizer.json, and spm.model is not read;"), "{error}");
    folder.write("vocab.txt", "");
    let vocabulary = file("vocab.txt");
    assert_eq!(found(), Ok(TokenizerFiles::WordPieces { vocabulary, beside: [None, None] }));
    folder.write("tokenizer_config.json", "{}");
    folder.write("vocab.json", "");
    folder.write("merges.txt", "");
    let expected = TokenizerFiles::BytePairs {
        vocabulary: file("vocab.json"),
        merges: file("merges.txt"),
        beside: [Some(file("tokenizer_config.json")), None],
    };
    assert_eq!(found(), Ok(expected));
}
