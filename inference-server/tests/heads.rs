//! What a model's numbers are read as: one label, several, a number, a choice of one output, and candidates of a caller's
//! own. Each as transformers' pipelines answer it.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Folder, Server, fixture, json};
use serde_json::{Value, json};

/// A folder with the tiny model's tokenizer, one of the graphs or its own, and a configuration.
fn folder(graph: Option<&str>, config: &Value) -> Folder {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new(&format!("heads-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::copy(fixture("three-labels/tokenizer.json"), folder.file("tokenizer.json")).unwrap();
    let file = graph.map_or(fixture("three-labels/model.onnx"), |graph| fixture("graphs").join(graph));
    fs::copy(file, folder.file("model.onnx")).unwrap();
    fs::write(folder.file("config.json"), config.to_string()).unwrap();
    folder
}

fn start(graph: Option<&str>, config: &Value) -> (Folder, Server) {
    let folder = folder(graph, config);
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())]);
    (folder, server)
}

fn three(more: &Value) -> Value {
    let mut config = json!({ "id2label": { "0": "bad", "1": "fine", "2": "good" }, "max_position_embeddings": 64 });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn ask(server: &Server, body: &Value) -> Value {
    let mut response = server.post("/predict", &body.to_string());
    let status = response.status().as_u16();
    let body = json(&mut response);
    assert_eq!(status, 200, "{body}");
    body
}

fn close(found: &Value, expected: f64) {
    let number = found.as_f64().unwrap();
    assert!((number - expected).abs() < 1e-4, "{number}, not {expected}");
}

#[test]
fn of_one_label_all_scores_and_raw_outputs_are_there_for_who_asks() {
    let (_folder, server) = start(None, &three(&json!({})));
    let plain = ask(&server, &json!({ "text": "good" }));
    for field in ["labels", "scores", "logits"] {
        assert_eq!(plain.get(field), None);
    }
    for cached in [true, true] {
        let body = ask(&server, &json!({ "text": "good", "top_k": 2, "logits": true }));
        assert_eq!((&body["label"], &body["cached"]), (&json!("good"), &json!(cached)));
        let scores = body["scores"].as_array().unwrap();
        assert_eq!((scores.len(), &scores[0]["label"], &scores[0]["score"]), (2, &json!("good"), &body["score"]));
        assert_eq!(body["logits"], json!([0.0, 0.0, 9.0]));
    }
    let body = ask(&server, &json!({ "text": "good", "all": true }));
    assert_eq!(body["scores"].as_array().unwrap().len(), 3);
    let batch = json!({ "texts": ["good", "bad"], "all": true, "logits": true }).to_string();
    let body = json(&mut server.post("/predict/batch", &batch));
    assert_eq!(body["results"][1]["scores"][0]["label"], "bad");
    assert_eq!(body["results"][1]["logits"], json!([9.0, 0.0, 0.0]));
    for wrong in [json!({ "text": "good", "top_k": 0 }), json!({ "text": "good", "all": "yes" })] {
        assert_eq!(server.post("/predict", &wrong.to_string()).status(), 422, "{wrong}");
    }
}

#[test]
fn several_labels_hold_at_once() {
    let config = three(&json!({ "problem_type": "multi_label_classification" }));
    let (_folder, server) = start(None, &config);
    let body = ask(&server, &json!({ "text": "good bad" }));
    close(&body["score"], 1.0 / (1.0 + (-9.0_f64).exp()));
    let labels: Vec<&Value> = body["labels"].as_array().unwrap().iter().map(|one| &one["label"]).collect();
    // 0 is a half by the sigmoid, and that is the threshold.
    assert_eq!(labels.len(), 3);
    let folder = folder(None, &config);
    let settings = [("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap()), ("MLOPS_THRESHOLD", "0.6")];
    let server = Server::start(&settings);
    let body = ask(&server, &json!({ "text": "good bad" }));
    assert_eq!(body["labels"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&server, &json!({ "text": "a start" }))["labels"], json!([]));
    assert_eq!(json(&mut server.get("/model-info"))["activation"], "sigmoid");
}

#[test]
fn a_regression_is_the_number_itself() {
    let config = json!({ "problem_type": "regression", "id2label": { "0": "rating" }, "max_position_embeddings": 64 });
    let (_folder, server) = start(Some("one.onnx"), &config);
    for (text, rating) in [("good", 3.0), ("bad bad", -6.0), ("a", 0.0)] {
        let body = ask(&server, &json!({ "text": text }));
        assert_eq!(body["label"], "rating");
        close(&body["score"], rating);
    }
    assert_eq!(json(&mut server.get("/model-info"))["problem_type"], "regression");
}

#[test]
fn one_output_is_a_choice_of_two() {
    let names = json!({ "id2label": { "0": "NEGATIVE", "1": "POSITIVE" }, "max_position_embeddings": 64 });
    for graph in ["one.onnx", "one-sigmoid.onnx"] {
        let (_folder, server) = start(Some(graph), &names);
        let sure = 1.0 / (1.0 + (-3.0_f64).exp());
        for (text, label) in [("good", "POSITIVE"), ("bad", "NEGATIVE")] {
            let body = ask(&server, &json!({ "text": text, "all": true }));
            assert_eq!(body["label"], label, "{graph}");
            close(&body["score"], sure);
            close(&body["scores"][1]["score"], 1.0 - sure);
        }
    }
}

#[test]
fn an_activation_that_the_graph_has_is_not_applied_again() {
    let (_folder, server) = start(Some("softmax.onnx"), &three(&json!({})));
    let sure = 1.0 / (1.0 + 2.0 * (-9.0_f64).exp());
    close(&ask(&server, &json!({ "text": "good" }))["score"], sure);
    assert_eq!(json(&mut server.get("/model-info"))["activation"], "none");
    let several = three(&json!({ "problem_type": "multi_label_classification" }));
    let (_folder, server) = start(Some("sigmoid.onnx"), &several);
    close(&ask(&server, &json!({ "text": "good" }))["score"], 1.0 / (1.0 + (-9.0_f64).exp()));
}

#[test]
fn a_problem_that_is_not_known_ends_the_start_with_a_way_out() {
    let folder = folder(None, &three(&json!({ "problem_type": "token_classification" })));
    let path = folder.0.to_str().unwrap();
    let output = common::command(&[("MLOPS_ONNX_MODEL_PATH", path)]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("ModelLoadFailed: ") && said.contains("MLOPS_PROBLEM_TYPE overrides it"), "{said}");
    let problem = ("MLOPS_PROBLEM_TYPE", "single_label_classification");
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", path), problem]);
    assert_eq!(ask(&server, &json!({ "text": "good" }))["label"], "good");
}

fn entailing() -> (Folder, Server) {
    let names = json!({ "0": "CONTRADICTION", "1": "NEUTRAL", "2": "ENTAILMENT" });
    start(Some("entailment.onnx"), &json!({ "id2label": names, "max_position_embeddings": 64 }))
}

#[test]
fn pairs_are_read_together() {
    let (_folder, server) = entailing();
    for (pair, label) in [("a good start", "ENTAILMENT"), ("bad", "CONTRADICTION")] {
        for cached in [false, true] {
            let body = ask(&server, &json!({ "text": "good", "text_pair": pair }));
            assert_eq!((&body["label"], &body["cached"]), (&json!(label), &json!(cached)), "{pair}");
        }
    }
    assert_eq!(ask(&server, &json!({ "text": "good", "text_pair": null }))["label"], "CONTRADICTION");
    assert_eq!(server.post("/predict", &json!({ "text": "good", "text_pair": " " }).to_string()).status(), 422);
    // Of two that are too long together the longer one is cut.
    let body = ask(&server, &json!({ "text": "good ".repeat(100), "text_pair": "good" }));
    assert_eq!((&body["label"], &body["truncated"]), (&json!("ENTAILMENT"), &json!(true)));
}

#[test]
fn candidate_labels_need_no_training() {
    let (_folder, server) = entailing();
    let zero_shot = |body: Value| {
        let mut response = server.post("/predict/zero-shot", &body.to_string());
        (response.status().as_u16(), json(&mut response))
    };
    let (status, body) = zero_shot(json!({ "text": "a good start", "candidate_labels": ["bad", "good", "fine"] }));
    assert_eq!((status, &body["label"]), (200, &json!("good")), "{body}");
    let scores = body["scores"].as_array().unwrap();
    close(&scores[0]["score"], 1.0 / (1.0 + 2.0 * (-9.0_f64).exp()));
    let sum: f64 = scores.iter().map(|one| one["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5);

    let candidates =
        json!({ "text": "good and bad", "candidate_labels": ["bad", "good", "fine"], "multi_label": true });
    let (_, body) = zero_shot(candidates);
    let of = |label: &str| body["scores"].as_array().unwrap().iter().find(|one| one["label"] == label).unwrap().clone();
    // Of entailment and contradiction alone.
    for (label, logit) in [("bad", 10.0_f64), ("good", 10.0), ("fine", -8.0)] {
        close(&of(label)["score"], 1.0 / (1.0 + (-logit).exp()));
    }
    let template = json!({ "text": "good", "candidate_labels": ["x", "y"], "hypothesis_template": "good {}" });
    assert_eq!(zero_shot(template).0, 200);
    for (wrong, status) in [
        (json!({ "text": "good", "candidate_labels": [] }), 422),
        (json!({ "text": "good", "candidate_labels": ["a", " "] }), 422),
        (json!({ "text": "good", "candidate_labels": "a" }), 422),
        (json!({ "text": "good", "candidate_labels": vec!["a"; 101] }), 422),
        (json!({ "text": "good", "candidate_labels": ["a"], "hypothesis_template": "no place" }), 422),
        (json!({ "candidate_labels": ["a"] }), 422),
    ] {
        let (found, body) = zero_shot(wrong.clone());
        assert_eq!(found, status, "{wrong}: {body}");
    }
    let (_folder, other) = start(None, &three(&json!({})));
    let body = json!({ "text": "good", "candidate_labels": ["a"] }).to_string();
    let mut response = other.post("/predict/zero-shot", &body);
    assert_eq!(response.status(), 400);
    let body = json(&mut response);
    assert_eq!(body["error_code"], "E1015");
    assert!(body["detail"].as_str().unwrap().contains("entailment"), "{body}");
}
