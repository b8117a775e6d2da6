//! The protocols of `KServe` (version 1), text-embeddings-inference, the Hub, vLLM and Infinity, against the real server.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Server, assert_keys, json};

const TEXT: &str = "I love this product";
const KEY: &str = "s3cret";

/// Asks with the key, and answers the status and the body.
fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("http://{}{path}", server.address);
    let mut response = server.agent.post(url).header("X-API-Key", KEY).send(body.to_string()).unwrap();
    (response.status().as_u16(), json(&mut response))
}

fn get(server: &Server, path: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", server.address);
    let mut response = server.agent.get(url).header("X-API-Key", KEY).call().unwrap();
    (response.status().as_u16(), json(&mut response))
}

fn answered(server: &Server, path: &str, body: &Value) -> Value {
    let (status, answer) = post(server, path, body);
    assert_eq!(status, 200, "{path} {body}: {answer}");
    answer
}

fn labels(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect()
}

#[test]
fn kserves_version_1() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let path = "/v1/models/default:predict";
    let answer = answered(&server, path, &json!({ "instances": [TEXT, { "text": "It is awful" }] }));
    assert_eq!(labels(&answer["predictions"]), ["POSITIVE", "NEGATIVE"]);
    assert_keys(&answer["predictions"][0], &["label", "score", "truncated"]);
    assert_eq!(get(&server, "/v1/models").1["models"], json!(["default"]));
    assert_eq!(get(&server, "/v1/models/default"), (200, json!({ "name": "default", "ready": true })));
    for (path, body, status, sentence) in [
        (path, json!({}), 400, "missing field `instances`"),
        (
            path,
            json!({ "instances": [TEXT, 7] }),
            400,
            "text 1: it must be a text, or an object with text and text_pair",
        ),
        (path, json!({ "instances": ["\u{200b}"] }), 400, "text 0: "),
        ("/v1/models/other:predict", json!({}), 404, "there is no model \"other\" here"),
        ("/v1/models/default:explain", json!({}), 404, "a model can predict, but not \"explain\""),
        ("/v1/models/default", json!({}), 404, "predictions are at POST /v1/models/{name}:predict"),
    ] {
        let (found, body) = post(&server, path, &body);
        assert_keys(&body, &["error"]);
        assert!(found == status && body["error"].as_str().unwrap().starts_with(sentence), "{path} {found} {body}");
    }
    let url = format!("http://{}{path}", server.address);
    let mut refused = server.agent.post(url).send("{}").unwrap();
    assert_eq!(refused.status(), 401);
    assert_keys(&json(&mut refused), &["error"]);
    let series = r#"sentiment_predictions_total{protocol="kserve"}"#;
    assert_eq!(server.series::<u64>(series), Some(2));
}

#[test]
fn text_embeddings_inference_and_the_hub() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_MAX_TEXT_LENGTH", "600")]);
    let one = answered(&server, "/predict", &json!({ "inputs": TEXT }));
    let mut known = labels(&one);
    assert_eq!(known[0], "POSITIVE");
    known.sort_unstable();
    assert_eq!(known, ["NEGATIVE", "NEUTRAL", "POSITIVE"]);
    assert!(one[0]["score"].as_f64() > one[1]["score"].as_f64());
    let many = answered(&server, "/predict", &json!({ "inputs": [[TEXT], ["It is awful"]] }));
    assert_eq!((labels(&many[0])[0], labels(&many[1])[0]), ("POSITIVE", "NEGATIVE"));
    let pair = answered(&server, "/predict", &json!({ "inputs": [TEXT, "It is awful"] }));
    assert_eq!(labels(&pair).len(), 3);
    let raw = answered(&server, "/predict", &json!({ "inputs": TEXT, "raw_scores": true }));
    let scores: Vec<f64> = raw.as_array().unwrap().iter().map(|label| label["score"].as_f64().unwrap()).collect();
    assert!((scores.iter().sum::<f64>() - 1.0).abs() > 0.01, "{raw}");
    let hub = answered(&server, "/", &json!({ "inputs": TEXT, "parameters": { "top_k": 1 } }));
    assert_eq!((hub.as_array().unwrap().len(), labels(&hub[0])), (1, vec!["POSITIVE"]));
    let hub = answered(&server, "/", &json!({ "inputs": [TEXT, "It is awful"] }));
    assert_eq!(hub.as_array().unwrap().len(), 2);
    let many = answered(&server, "/predict", &json!({ "inputs": vec![[TEXT]; 200] }));
    assert_eq!(many.as_array().unwrap().len(), 200);

    let (status, info) = get(&server, "/info");
    assert_eq!((status, &info["model_id"], &info["model_dtype"]), (200, &json!("default"), &json!("int8")));
    assert_eq!(
        info["model_type"]["classifier"]["id2label"],
        json!({ "0": "NEGATIVE", "1": "NEUTRAL", "2": "POSITIVE" })
    );
    assert_eq!(info["max_client_batch_size"], 1000);

    let long = "a".repeat(601);
    for (path, body, status, kind) in [
        ("/predict", json!({}), 400, "Validation"),
        ("/", json!({ "inputs": [] }), 400, "Validation"),
        ("/predict", json!({ "inputs": long }), 400, "Validation"),
        ("/predict", json!({ "inputs": "\u{200b}" }), 400, "Tokenizer"),
    ] {
        let (found, body) = post(&server, path, &body);
        assert_keys(&body, &["error", "error_type"]);
        assert_eq!((found, &body["error_type"]), (status, &json!(kind)), "{body}");
    }
    let mut refused = server.agent.post(format!("http://{}/predict", server.address)).send("{}").unwrap();
    assert_eq!(refused.status(), 401);
    assert_keys(&json(&mut refused), &["error", "error_type"]);
    assert_eq!(get(&server, "/").1["service"], "KubeSentiment");
}

#[test]
fn without_the_prefix_the_body_says_whose_predict_it_is() {
    let server = Server::start(&[("MLOPS_DEBUG", "true")]);
    assert_eq!(answered(&server, "/predict", &json!({ "text": TEXT }))["label"], "POSITIVE");
    assert_eq!(labels(&answered(&server, "/predict", &json!({ "inputs": TEXT })))[0], "POSITIVE");
    let (status, body) = post(&server, "/predict", &json!({ "text": "" }));
    assert_eq!((status, &body["error_code"]), (422, &json!("E1001")));
    let (status, body) = post(&server, "/predict", &json!({ "inputs": "" }));
    assert_eq!((status, &body["error_type"]), (400, &json!("Validation")));
    let (status, body) = post(&server, "/predict", &json!({ "inputs": "\u{200b}" }));
    assert_eq!((status, &body["error_type"]), (400, &json!("Tokenizer")));
    let (status, body) = post(&server, "/predict", &json!({ "text": "\u{200b}" }));
    assert_eq!((status, &body["error_code"]), (400, &json!("E1004")));
}

#[test]
fn vllm_and_infinity() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let model = get(&server, "/v1/models").1["data"][0]["id"].clone();
    let answer = answered(&server, "/classify", &json!({ "model": model, "input": [TEXT, "It is awful"] }));
    assert_keys(&answer, &["id", "object", "created", "model", "data", "usage"]);
    assert_eq!((&answer["object"], labels(&answer["data"])), (&json!("list"), vec!["POSITIVE", "NEGATIVE"]));
    assert_eq!((&answer["data"][1]["index"], &answer["data"][1]["num_classes"]), (&json!(1), &json!(3)));
    let probs = |answer: &Value| {
        answer["data"][0]["probs"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum::<f64>()
    };
    assert!((probs(&answer) - 1.0).abs() < 1e-5);
    let tokens = answer["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(tokens, 6 + 5);
    let again = answered(&server, "/classify", &json!({ "input": [TEXT, "It is awful"], "use_activation": false }));
    assert_eq!(again["usage"]["total_tokens"], tokens);
    assert!((probs(&again) - 1.0).abs() > 1e-3);

    let answer = answered(
        &server,
        "/classify",
        &json!({ "model": "default/not-specified", "input": [TEXT], "raw_scores": false }),
    );
    let found = labels(&answer["data"][0]);
    assert_eq!((&answer["object"], found[0], found.len()), (&json!("classify"), "POSITIVE", 3));

    for (body, status, kind) in [
        (json!({}), 400, "BadRequestError"),
        (json!({ "input": [[1, 2]] }), 400, "BadRequestError"),
        (json!({ "input": "\u{200b}" }), 400, "BadRequestError"),
        (json!({ "input": TEXT, "model": "other" }), 404, "NotFoundError"),
    ] {
        let (found, body) = post(&server, "/classify", &body);
        assert_keys(&body, &["error"]);
        assert_keys(&body["error"], &["message", "type", "param", "code"]);
        assert_eq!((found, &body["error"]["type"], &body["error"]["code"]), (status, &json!(kind), &json!(status)));
    }
    let only = Server::start(&[("MLOPS_PROTOCOLS", "vllm")]);
    assert_eq!(get(&only, "/v1/models").1["data"][0]["id"], "default");
}

/// The keys of an error's body by path, and of what is in it.
type Form = (&'static str, fn(&str) -> Value, &'static [&'static str], &'static [&'static str]);

/// Each protocol over HTTP, with the body of a text and the form of its errors.
const FORMS: [Form; 6] = [
    ("/api/v1/predict", |text| json!({ "text": text }), &["detail", "error_code", "error_message"], &[]),
    ("/v2/models/default/infer", infer, &["error"], &[]),
    ("/v1/models/default:predict", |text| json!({ "instances": [text] }), &["error"], &[]),
    ("/predict", |text| json!({ "inputs": text }), &["error", "error_type"], &[]),
    ("/", |text| json!({ "inputs": text }), &["error", "error_type"], &[]),
    ("/classify", |text| json!({ "input": text }), &["error"], &["message", "type", "param", "code"]),
];

fn infer(text: &str) -> Value {
    json!({ "inputs": [{ "name": "text", "shape": [1], "datatype": "BYTES", "data": [text] }] })
}

fn assert_form(answer: &Value, (path, _, keys, inner): &Form) {
    for key in *keys {
        assert!(answer.get(key).is_some(), "{path}: {answer}");
    }
    for key in *inner {
        assert!(answer["error"].get(key).is_some(), "{path}: {answer}");
    }
}

#[test]
fn an_overload_is_told_in_each_form_with_the_time_to_come_back() {
    let server = Server::start(&[
        ("MLOPS_QUEUE_CAPACITY", "1"),
        ("MLOPS_THREADS", "1"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
    ]);
    for form in &FORMS {
        let (path, body, ..) = form;
        let url = format!("http://{}{path}", server.address);
        let body = body(&"slow and long ".repeat(36)).to_string();
        let answers: Vec<_> = thread::scope(|scope| {
            let calls: Vec<_> = (0..24).map(|_| scope.spawn(|| server.agent.post(&url).send(&body).unwrap())).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let mut refused = 0;
        for mut answer in answers.into_iter().filter(|answer| answer.status() != 200) {
            assert_eq!(answer.status(), 503, "{path}");
            assert_eq!(answer.headers()["retry-after"], "1", "{path}");
            assert_form(&json(&mut answer), form);
            refused += 1;
        }
        assert!(refused > 0, "24 calls at once to {path} fit into a queue of one");
    }
}

#[test]
fn a_text_that_is_too_long_and_a_missing_key_are_told_in_each_form() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_MAX_TEXT_LENGTH", "600")]);
    for form in &FORMS {
        let (path, body, ..) = form;
        let (status, answer) = post(&server, path, &body(&"a".repeat(601)));
        assert!([400, 422].contains(&status), "{path}: {status}");
        assert!(answer.to_string().contains("600"), "{path} says how long a text may be: {answer}");
        assert_form(&answer, form);
        let mut refused =
            server.agent.post(format!("http://{}{path}", server.address)).send(body("a").to_string()).unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        assert_form(&json(&mut refused), form);
    }
}

#[test]
fn a_server_that_stops_is_not_ready_by_any_protocol() {
    let server = Server::start(&[("MLOPS_DRAIN_SECONDS", "5")]);
    let probes = ["/api/v1/ready", "/readyz", "/v2/health/ready", "/v2/models/default/ready", "/health"];
    let status = |path: &str| server.agent.get(format!("http://{}{path}", server.address)).call().unwrap().status();
    for path in probes {
        assert_eq!(status(path), 200, "{path}");
    }
    server.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(2);
    while status(probes[0]) != 503 {
        assert!(Instant::now() < deadline, "it is ready two seconds after SIGTERM");
        thread::sleep(Duration::from_millis(10));
    }
    for path in &probes[1..4] {
        assert_eq!(status(path), 503, "{path}");
    }
    for form in &FORMS {
        let (path, body, ..) = form;
        answered(&server, path, &body(TEXT));
    }
}
