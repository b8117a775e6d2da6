//! Batches without padding, and when they are padded after all.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::fs;

use common::{Folder, Server, default_model};
use engine::Tokens;
use inference_server::config::{Config, Environment};
use model::Model;
use serde_json::{Value, json};

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

#[test]
fn a_text_scores_alike_in_every_batch() {
    let path = default_model().to_str().unwrap().to_owned();
    let settings: Environment = [("MLOPS_ONNX_MODEL_PATH".to_owned(), path)].into_iter().collect();
    let model = Model::load(&Config::read(&settings).unwrap().model).unwrap();
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
    assert!(padding_for_the_texts(&server) > 0);
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
