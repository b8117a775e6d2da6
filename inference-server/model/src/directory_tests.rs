use super::*;
use crate::{LongTexts, WrittenAs};

/// A directory of empty files, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("kubesentiment-{name}-{}", std::process::id()));
        for file in files {
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
    let written = WrittenAs { max_tokens: "MLOPS_MAX_TOKENS".to_owned(), labels: "labels in a.yaml".to_owned() };
    ModelConfig {
        name: "m".to_owned(),
        path: PathBuf::new(),
        max_tokens: None,
        labels,
        neutral_band: 0.0,
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
    assert_eq!(error, format!("model directory {} holds no *.onnx file", folder.0.display()));
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
    let names = |labels: Labels| labels.names().map(str::to_owned).collect::<Vec<_>>();

    assert_eq!(names(open().labels(&model_config(None), 2).unwrap()), ["LABEL_0", "LABEL_1"]);
    folder.write("config.json", r#"{"id2label":{"0":"bad","1":"so-so","2":"good"}}"#);
    assert_eq!(names(open().labels(&model_config(None), 3).unwrap()), ["bad", "so-so", "good"]);
    assert_eq!(names(open().labels(&model_config(Some(&["a", "b", "c"])), 3).unwrap()), ["a", "b", "c"]);

    let error = open().labels(&model_config(None), 2).unwrap_err().to_string();
    assert_eq!(error, "config.json names 3 labels, but the model has 2 classes");
    let error = open().labels(&model_config(Some(&["a"])), 3).unwrap_err().to_string();
    assert_eq!(error, "labels in a.yaml has 1 labels, but the model has 3 classes");
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
