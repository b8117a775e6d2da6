//! What a model's numbers are read as: one label, several, a number, a choice of one output, and candidates of a caller's
//! own. Each as transformers' pipelines answer it.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{self, Folder, Server, fixture, json};

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

/// A server that leaves labels out, of the tiny model's or of those that the settings name.
fn dropping(labels: &str, more: &[(&str, &str)]) -> Server {
    let model = fixture("three-labels");
    let mut settings = vec![("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()), ("MLOPS_DROP_LABELS", labels)];
    settings.extend(more);
    Server::start(&settings)
}

/// An answer at a path that is never prefixed.
fn at_top(server: &Server, path: &str, body: Option<&Value>) -> Value {
    let url = format!("http://{}{path}", server.address);
    let answer = match body {
        Some(body) => server.agent.post(url).send(body.to_string()),
        None => server.agent.get(url).call(),
    };
    let mut response = answer.unwrap();
    let status = response.status().as_u16();
    let body = json(&mut response);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[test]
fn a_label_that_is_left_out_is_in_no_answer_of_any_protocol() {
    let server = dropping("FINE", &[("MLOPS_INFERENCE_LOG_STDOUT", "true")]);
    // "fine" by far, were it there: the sums are 0, 18 and 9.
    let text = "fine good fine";
    let (sure, rest) = (1.0 / (1.0 + (-9.0_f64).exp()), 1.0 / (1.0 + 9.0_f64.exp()));

    for cached in [false, true] {
        let body = ask(&server, &json!({ "text": text, "all": true, "logits": true }));
        assert_eq!(
            (&body["label"], &body["cached"], &body["logits"]),
            (&json!("good"), &json!(cached), &json!([0.0, 9.0]))
        );
        close(&body["score"], sure);
        let scores = body["scores"].as_array().unwrap();
        assert_eq!((scores.len(), &scores[0]["score"], &scores[1]["label"]), (2, &body["score"], &json!("bad")));
        close(&scores[1]["score"], rest);
        let record = server.line_with("event", "inference");
        assert_eq!((&record["label"], &record["logits"]), (&json!("good"), &json!([0.0, 9.0])), "{record}");
    }
    close(&ask(&server, &json!({ "text": "fine" }))["score"], 0.5);
    let batch = json!({ "texts": [text, "bad fine"], "top_k": 3, "logits": true }).to_string();
    let results = json(&mut server.post("/predict/batch", &batch))["results"].take();
    assert_eq!((&results[0]["label"], &results[1]["label"]), (&json!("good"), &json!("bad")));
    assert_eq!((results[1]["scores"].as_array().unwrap().len(), &results[1]["logits"]), (2, &json!([9.0, 0.0])));
    let job = json(&mut server.post("/batch/predict", &json!({ "texts": [text, "bad fine"] }).to_string()));
    let path = format!("/batch/results/{}", job["job_id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.get(&path).status() != 200 {
        assert!(Instant::now() < deadline, "the job has no results");
        thread::sleep(Duration::from_millis(10));
    }
    let results = json(&mut server.get(&path))["results"].take();
    assert_eq!((&results[0]["label"], &results[1]["label"]), (&json!("good"), &json!("bad")));

    let input = json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": [text] });
    let names = ["label", "score", "probabilities", "logits"];
    let outputs: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let infer = |outputs: &[Value]| {
        let body = json!({ "inputs": [input], "outputs": outputs });
        at_top(&server, "/v2/models/default/infer", Some(&body))["outputs"].take()
    };
    let found = infer(&outputs);
    assert_eq!(
        (&found[0]["data"], &found[2]["shape"], &found[3]["shape"]),
        (&json!(["good"]), &json!([1, 2]), &json!([1, 2]))
    );
    close(&found[1]["data"][0], sure);
    close(&found[2]["data"][0], rest);
    assert_eq!(found[3]["data"], json!([0.0, 9.0]));
    let classes = infer(&[json!({ "name": "logits", "parameters": { "classification": 3 } })]);
    assert_eq!(classes[0]["data"], json!(["9.000000:1:good", "0.000000:0:bad"]));
    for path in ["/v2/models/default", "/v2/models/default/config"] {
        let described = at_top(&server, path, None);
        let outputs = described.get("outputs").or(described.get("output")).unwrap();
        let side = |output: &Value| output.get("shape").or(output.get("dims")).unwrap().clone();
        assert_eq!((side(&outputs[3]), side(&outputs[4])), (json!([-1, 2]), json!([-1, 2])), "{path}");
    }

    let answer = at_top(&server, "/v1/models/default:predict", Some(&json!({ "instances": [text] })));
    assert_eq!(answer["predictions"][0]["label"], "good");
    close(&answer["predictions"][0]["score"], sure);

    let labels = |list: &Value| -> Vec<(String, f64)> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| (one["label"].as_str().unwrap().to_owned(), one["score"].as_f64().unwrap())).collect()
    };
    let pair = |good: f64, bad: f64| vec![("good".to_owned(), good), ("bad".to_owned(), bad)];
    let tei = labels(&at_top(&server, "/predict", Some(&json!({ "inputs": text }))));
    assert_eq!((tei.len(), tei[0].0.as_str(), tei[1].0.as_str()), (2, "good", "bad"));
    assert!((tei[0].1 + tei[1].1 - 1.0).abs() < 1e-6, "{tei:?}");
    let raw = at_top(&server, "/predict", Some(&json!({ "inputs": text, "raw_scores": true })));
    assert_eq!(labels(&raw), pair(9.0, 0.0));
    let hub = at_top(&server, "/", Some(&json!({ "inputs": text })));
    assert_eq!(labels(&hub[0]), tei);
    let info = at_top(&server, "/info", None);
    assert_eq!(info["model_type"]["classifier"]["id2label"], json!({ "0": "bad", "1": "good" }));
    assert_eq!(info["model_type"]["classifier"]["label2id"], json!({ "bad": 0, "good": 1 }));

    let vllm = at_top(&server, "/classify", Some(&json!({ "input": text })))["data"][0].take();
    assert_eq!((&vllm["label"], &vllm["num_classes"]), (&json!("good"), &json!(2)));
    close(&vllm["probs"][1], sure);
    let raw = at_top(&server, "/classify", Some(&json!({ "input": text, "use_activation": false })));
    assert_eq!(raw["data"][0]["probs"], json!([0.0, 9.0]));
    let infinity = at_top(&server, "/classify", Some(&json!({ "input": text, "raw_scores": true })));
    assert_eq!(labels(&infinity["data"][0]), pair(9.0, 0.0));

    assert_eq!(json(&mut server.get("/model-info"))["labels"], json!(["bad", "good"]));
    let id = ask(&server, &json!({ "text": text }))["prediction_id"].clone();
    let feedback = json!({ "prediction_id": id, "corrected_label": "fine" }).to_string();
    assert_eq!(server.post("/feedback", &feedback).status(), 422);
    let feedback = json!({ "prediction_id": id, "corrected_label": "bad" }).to_string();
    assert_eq!(server.post("/feedback", &feedback).status(), 201);
    let series = r#"sentiment_feedback_total{predicted_label="good",corrected_label="bad"}"#;
    assert_eq!(server.series::<u64>(series), Some(1));
}

#[test]
fn the_neutral_band_of_what_is_left_is_what_answers_neutral() {
    let names = ("MLOPS_LABELS", "NEGATIVE,NEUTRAL,POSITIVE");
    let server = dropping("neutral", &[names]);
    assert_eq!(ask(&server, &json!({ "text": "fine good" }))["label"], "POSITIVE");
    assert_ne!(ask(&server, &json!({ "text": "fine" }))["label"], "NEUTRAL");
    let server = dropping("neutral", &[names, ("MLOPS_NEUTRAL_BAND", "0.6")]);
    assert_eq!(ask(&server, &json!({ "text": "fine good" }))["label"], "POSITIVE");
    let unsure = ask(&server, &json!({ "text": "fine", "all": true }));
    assert_eq!((&unsure["label"], unsure["scores"].as_array().unwrap().len()), (&json!("NEUTRAL"), 2));
    close(&unsure["score"], 0.5);
}

#[test]
fn of_a_graph_with_a_softmax_the_labels_that_are_left_sum_to_one_too() {
    let folder = folder(Some("softmax.onnx"), &three(&json!({})));
    let settings = [("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap()), ("MLOPS_DROP_LABELS", "fine")];
    let body = ask(&Server::start(&settings), &json!({ "text": "fine good" }));
    assert_eq!(body["label"], "good");
    close(&body["score"], 1.0 / (1.0 + (-9.0_f64).exp()));
}

#[test]
fn labels_that_can_not_be_left_out_end_the_start_with_a_sentence() {
    let said = |folder: &Folder, settings: &[(&str, &str)]| {
        let mut all = vec![("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())];
        all.extend(settings);
        let output = common::command(&all).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let several = three(&json!({ "problem_type": "multi_label_classification" }));
    let pair = json!({ "id2label": { "0": "bad", "1": "good" }, "max_position_embeddings": 64 });
    for (graph, config, labels, sentence) in [
        (None, three(&json!({})), "NEUTRAL", "is no label of the model: its labels are bad, fine, good"),
        (None, three(&json!({})), "bad,fine", "MLOPS_DROP_LABELS leaves fewer than two of the model's labels"),
        (None, several, "fine", "MLOPS_DROP_LABELS is set, but the model's answers are of multi_label_classification,"),
        (Some("one-sigmoid.onnx"), pair, "bad", "MLOPS_DROP_LABELS is set, but the model's answers are of one output,"),
    ] {
        let said = said(&folder(graph, &config), &[("MLOPS_DROP_LABELS", labels)]);
        assert!(said.contains("InvalidConfig: ") && said.contains(sentence), "{labels}: {said}");
    }
    // A file's key is named as it is written there.
    let folder = folder(None, &three(&json!({})));
    fs::write(folder.file("settings.yaml"), "drop_labels: [okay]").unwrap();
    let said = said(&folder, &[("MLOPS_CONFIG_DIR", folder.0.to_str().unwrap())]);
    assert!(said.contains("InvalidConfig: drop_labels in ") && said.contains("settings.yaml names "), "{said}");
}

fn entailing() -> (Folder, Server) {
    entailing_with(&[])
}

fn entailing_with(more: &[(&str, &str)]) -> (Folder, Server) {
    let names = json!({ "0": "CONTRADICTION", "1": "NEUTRAL", "2": "ENTAILMENT" });
    let folder = folder(Some("entailment.onnx"), &json!({ "id2label": names, "max_position_embeddings": 64 }));
    let mut settings = vec![("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())];
    settings.extend(more);
    let server = Server::start(&settings);
    (folder, server)
}

#[test]
fn candidates_are_scored_by_the_models_own_outputs_whatever_is_left_out() {
    let body = |several: bool| {
        json!({ "text": "good and bad", "candidate_labels": ["bad", "good", "fine"], "multi_label": several })
            .to_string()
    };
    let scores = |server: &Server| {
        [false, true].map(|several| json(&mut server.post("/predict/zero-shot", &body(several)))["scores"].take())
    };
    let (_folder, whole) = entailing();
    let expected = scores(&whole);
    assert!(expected[1][0]["score"].as_f64().unwrap() > 0.99, "{expected:?}");
    for dropped in ["neutral", "contradiction"] {
        let (_folder, server) =
            entailing_with(&[("MLOPS_DROP_LABELS", dropped), ("MLOPS_INFERENCE_LOG_STDOUT", "true")]);
        assert_eq!(scores(&server), expected, "{dropped}");
        assert_eq!(server.line_with("event", "inference")["logits"], json!([]));
        assert_eq!(ask(&server, &json!({ "text": "good", "text_pair": "a good start" }))["label"], "ENTAILMENT");
    }
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
