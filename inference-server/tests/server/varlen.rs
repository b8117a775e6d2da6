//! Batches without padding, and when they are padded after all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use engine::{Classify, Layout, Tokens};
use inference_server::config::{Config, Environment};
use model::Model;
use serde_json::{Value, json};

use crate::common::{self, Folder, Server, default_model};

/// Texts of different lengths, and what each says.
const TEXTS: [(&str, &str); 4] = [
    ("Great.", "POSITIVE"),
    ("The battery lasts all day, the screen is gorgeous and it was delivered a day early.", "POSITIVE"),
    ("Awful.", "NEGATIVE"),
    ("It broke after a week, nobody answers my mails and I will never buy anything here again.", "NEGATIVE"),
];

/// Asks for many of them at once, no two of one length, and returns how many tokens of padding the server ran.
fn padding_for_the_texts(server: &Server) -> u64 {
    let emphasized = |(index, (text, _)): (usize, &(&str, _))| format!("{text}{}", "!".repeat(index / TEXTS.len()));
    let texts: Vec<String> = TEXTS.iter().cycle().take(60).enumerate().map(emphasized).collect();
    let mut response = server.post("/predict/batch", &json!({ "texts": texts }).to_string());
    let results: Value = common::json(&mut response)["results"].take();
    for (result, (text, label)) in results.as_array().unwrap().iter().zip(TEXTS.iter().cycle()) {
        assert_eq!(result["label"], *label, "{text}");
    }
    server.series("sentiment_padding_tokens_total").unwrap()
}

fn start(model: &str) -> Server {
    Server::listening(&[("MLOPS_ONNX_MODEL_PATH", model), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")])
}

#[test]
fn the_default_models_batches_have_no_padding() {
    let server = start(default_model().to_str().unwrap());
    assert_eq!(server.line("ready")["padding"], false);
    assert_eq!(padding_for_the_texts(&server), 0);
}

fn load(model: &Path) -> Model {
    let path = model.to_str().unwrap().to_owned();
    let settings: Environment = [("MLOPS_ONNX_MODEL_PATH".to_owned(), path)].into_iter().collect();
    Model::load(&Config::read(&settings).unwrap().model).unwrap()
}

#[test]
fn a_text_scores_alike_in_every_batch() {
    let model = load(&default_model());
    let mut classifier = model.classifier();
    let texts: Vec<Tokens> =
        TEXTS.iter().map(|(text, _)| model.tokenizer.tokenize(&(*text).into()).unwrap().windows.remove(0)).collect();
    let mut classify = |batch: &[usize]| {
        let batch: Vec<&Tokens> = batch.iter().map(|index| &texts[*index]).collect();
        classifier.classify(&batch).unwrap()
    };
    let together = classify(&[0, 1, 2, 3]);
    for batch in [&[3, 2, 1, 0][..], &[1, 1], &[0, 2], &[2, 3, 3, 3, 3, 3, 3, 0, 1]] {
        for (index, logits) in batch.iter().zip(classify(batch)) {
            assert_eq!(logits, together[*index], "{:?} in the batch {batch:?}", TEXTS[*index].0);
        }
    }
    // Alone it goes through the model's own nodes, which round differently.
    for (index, together) in together.iter().enumerate() {
        for (alone, together) in classify(&[index])[0].iter().zip(together) {
            assert!((alone - together).abs() < 0.1, "{:?}: {alone} alone, {together} in a batch", TEXTS[index].0);
        }
    }
}

/// The models that `models/prepare` is tested on: each family's, as exporters write it, and prepared.
fn exports() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/prepare/tests/exports");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut exports: Vec<PathBuf> = folders.filter(|folder| folder.join("model.onnx").is_file()).collect();
    exports.sort();
    exports
}

fn is_int8(export: &Path) -> bool {
    export.to_str().unwrap().ends_with("-int8")
}

/// A copy of one of them, and of the tokenizer that they share; `files` of its graphs.
fn copy(export: &Path, files: &[&str]) -> Folder {
    let folder = Folder::new(&format!("{}-{}", export.file_name().unwrap().to_str().unwrap(), files.len()));
    fs::copy(export.with_file_name("tokenizer.json"), folder.file("tokenizer.json")).unwrap();
    for file in ["config.json", "model.onnx", "model.onnx.data"].iter().chain(files) {
        if export.join(file).is_file() {
            fs::copy(export.join(file), folder.file(file)).unwrap();
        }
    }
    folder
}

/// Texts, and what `PyTorch` answers to each before quantization.
fn answers(export: &Path) -> (Vec<Tokens>, Vec<Vec<f32>>) {
    let answers: Value = serde_json::from_slice(&fs::read(export.join("answers.json")).unwrap()).unwrap();
    let numbers = |answer: &Value, what: &str| answer[what].as_array().unwrap().clone();
    let text = |answer: &Value| {
        let ids = numbers(answer, "ids").iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect();
        Tokens { ids, type_ids: None }
    };
    #[expect(clippy::cast_possible_truncation, reason = "they were f32")]
    let logits =
        |answer: &Value| numbers(answer, "logits").iter().map(|logit| logit.as_f64().unwrap() as f32).collect();
    let answers = answers.as_array().unwrap();
    (answers.iter().map(text).collect(), answers.iter().map(logits).collect())
}

/// Answers to texts by their indices: each alone, then in batches of several lengths.
fn each_way(classifier: &mut dyn Classify, texts: &[Tokens]) -> Vec<(String, usize, Vec<f32>)> {
    let alone: Vec<Vec<usize>> = (0..texts.len()).map(|index| vec![index]).collect();
    let together = [(0..texts.len()).collect(), (0..texts.len()).rev().collect(), vec![1, 1], vec![4, 0]];
    let mut found = Vec::new();
    for batch in alone.into_iter().chain(together) {
        let logits = classifier.classify(&batch.iter().map(|index| &texts[*index]).collect::<Vec<_>>()).unwrap();
        found.extend(
            batch.iter().zip(logits).map(|(index, logits)| (format!("in the batch {batch:?}"), *index, logits)),
        );
    }
    found
}

fn difference(some: &[f32], others: &[f32]) -> f32 {
    assert_eq!(some.len(), others.len());
    some.iter().zip(others).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

#[test]
fn each_familys_texts_score_as_in_pytorch_padded_and_unpadded() {
    let floats: Vec<PathBuf> = exports().into_iter().filter(|export| !is_int8(export)).collect();
    assert!(floats.len() >= 17, "{floats:?}");
    for export in floats {
        let (texts, expected) = answers(&export);
        for (files, layout) in [(&["model.onnx.varlen"][..], Layout::Varlen), (&[], Layout::Padded)] {
            let folder = copy(&export, files);
            let model = load(&folder.0);
            let mut classifier = model.classifier();
            assert_eq!(classifier.profile().layout, layout, "{}", export.display());
            for (batch, index, logits) in each_way(classifier.as_mut(), &texts) {
                let difference = difference(&logits, &expected[index]);
                assert!(
                    difference < 1e-4,
                    "{} {layout:?}: text {index} {batch} is off by {difference}",
                    export.display()
                );
            }
        }
    }
}

#[test]
fn each_familys_int8_model_scores_alone_as_ever_and_alike_in_all_batches() {
    let quantized: Vec<PathBuf> = exports().into_iter().filter(|export| is_int8(export)).collect();
    assert!(quantized.len() >= 5, "{quantized:?}");
    for export in quantized {
        let (texts, _) = answers(&export);
        let (folder, as_exported) = (copy(&export, &["model.onnx.varlen"]), copy(&export, &[]));
        let [model, padded] = [&folder, &as_exported].map(|folder| load(&folder.0));
        let [mut classifier, mut padded] = [model.classifier(), padded.classifier()];
        assert_eq!(classifier.profile().layout, Layout::Varlen, "{}", export.display());
        assert_eq!(padded.profile().layout, Layout::Padded, "{}", export.display());
        let mut in_batches: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        for (batch, index, logits) in each_way(classifier.as_mut(), &texts) {
            let alone = padded.classify(&[&texts[index]]).unwrap().remove(0);
            if batch == format!("in the batch [{index}]") {
                let difference = difference(&logits, &alone);
                assert!(difference < 1e-6, "{}: text {index} alone is off by {difference}", export.display());
                continue;
            }
            let first = in_batches[index].get_or_insert_with(|| logits.clone());
            assert_eq!(&logits, first, "{}: text {index} {batch}", export.display());
            let difference = difference(&logits, &alone);
            assert!(difference < 0.1, "{}: text {index} {batch} is off by {difference}", export.display());
        }
    }
}

#[test]
fn a_graph_that_was_made_of_another_model_is_not_used() {
    let folder = Folder::new("stale-varlen");
    for file in fs::read_dir(default_model()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.file(file.file_name().to_str().unwrap())).unwrap();
    }
    let model = folder.file("model.onnx");
    let mut changed = fs::read(&model).unwrap();
    // Protocol Buffers for: no producer name. What is said last holds.
    changed.extend([0x12, 0]);
    fs::write(&model, changed).unwrap();

    let server = start(folder.0.to_str().unwrap());
    let warning = server
        .line("this graph was made of another model than is here, so batches are padded; prepare-model makes it anew");
    assert!(warning["file"].as_str().unwrap().ends_with("model.onnx.varlen"));
    assert_eq!(server.line("ready")["padding"], true);
    // How much of it there is depends on how busy the machine was when the server learnt what padding costs.
    padding_for_the_texts(&server);
    assert_eq!(load(&folder.0).classifier().profile().layout, Layout::Padded);
}

#[test]
fn a_broken_graph_is_named() {
    let folder = Folder::new("broken-varlen");
    for file in ["model.onnx", "config.json", "tokenizer.json"] {
        fs::copy(default_model().join(file), folder.file(file)).unwrap();
    }
    fs::write(folder.file("model.onnx.varlen"), "not a graph").unwrap();
    let mut server = start(folder.0.to_str().unwrap());
    assert_eq!(server.exit(std::time::Duration::from_secs(20)).code(), Some(1));
    let lines = server.lines_to_the_end();
    assert!(
        lines.iter().any(|line| line.to_string().contains("model.onnx.varlen is not usable")),
        "the log names the file: {lines:?}"
    );
}
