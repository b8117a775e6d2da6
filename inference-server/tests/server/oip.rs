//! The Open Inference Protocol and Triton's extensions of it, against the real server.

use serde_json::{Value, json};
use ureq::{Body, http::Response};

use crate::common::{self, Server, json};

const TEXT: &str = "I love this product";

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address)
}

fn get(server: &Server, path: &str) -> Value {
    let mut response = server.agent.get(url(server, path)).call().unwrap();
    assert_eq!(response.status(), 200, "{path}");
    json(&mut response)
}

fn post(server: &Server, path: &str, body: &Value) -> Response<Body> {
    server.agent.post(url(server, path)).send(body.to_string()).unwrap()
}

fn input(texts: &[&str]) -> Value {
    json!({ "name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts })
}

fn tensor(texts: &[&str]) -> Vec<u8> {
    texts
        .iter()
        .flat_map(|text| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat())
        .collect()
}

/// Posts JSON and what follows it.
fn post_binary(server: &Server, body: &Value, tensor: &[u8]) -> Response<Body> {
    let json = body.to_string();
    let request = server.agent.post(url(server, "/v2/models/default/infer"));
    let request = request.header("Inference-Header-Content-Length", json.len().to_string());
    request.content_type("application/octet-stream").send([json.as_bytes(), tensor].concat()).unwrap()
}

/// The JSON of an answer and what follows it.
fn split(mut response: Response<Body>) -> (Value, Vec<u8>) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let length: usize = response.headers()["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let body = response.body_mut().read_to_vec().unwrap();
    (serde_json::from_slice(&body[..length]).unwrap(), body[length..].to_vec())
}

fn refused(mut response: Response<Body>, status: u16) -> String {
    let body = json(&mut response);
    assert_eq!(response.status(), status, "{body}");
    common::assert_keys(&body, &["error"]);
    body["error"].as_str().unwrap().to_owned()
}

#[test]
fn tensors_go_both_ways_as_bytes() {
    let server = Server::start(&[]);
    let texts = [TEXT, "It is awful"];
    let sent = tensor(&texts);
    let parameters = json!({ "binary_data_size": sent.len() });
    let binary = json!({ "name": "text", "shape": [2], "datatype": "BYTES", "parameters": parameters });
    let mut plain = post(&server, "/v2/models/default/infer", &json!({ "inputs": [input(&texts)] }));
    let plain = json(&mut plain);
    let scores: Vec<f32> = serde_json::from_value(plain["outputs"][1]["data"].clone()).unwrap();

    // As tritonclient asks where no outputs are named.
    let body = json!({ "inputs": [binary], "parameters": { "binary_data_output": true } });
    let (head, received) = split(post_binary(&server, &body, &sent));
    assert_eq!((&head["model_name"], &head["model_version"]), (&json!("default"), &json!("1")));
    let sizes: Vec<_> =
        head["outputs"].as_array().unwrap().iter().map(|output| &output["parameters"]["binary_data_size"]).collect();
    let labels = tensor(&["POSITIVE", "NEGATIVE"]);
    assert_eq!(sizes, [&json!(labels.len()), &json!(8), &json!(2)]);
    let expected = [labels, scores.iter().flat_map(|score| score.to_le_bytes()).collect(), vec![0, 0]].concat();
    assert_eq!(received, expected);

    // Mixed: JSON in, and of two outputs one.
    let outputs = json!([{ "name": "label", "parameters": { "binary_data": true } }, { "name": "score" }]);
    let (head, received) =
        split(post(&server, "/v2/models/default/infer", &json!({ "inputs": [input(&texts)], "outputs": outputs })));
    assert_eq!(
        (&head["outputs"][1]["data"], received),
        (&plain["outputs"][1]["data"], tensor(&["POSITIVE", "NEGATIVE"]))
    );
    let outputs = json!([{ "name": "label" }]);
    let mut answer = post_binary(&server, &json!({ "inputs": [binary], "outputs": outputs }), &sent);
    assert_eq!(json(&mut answer)["outputs"][0]["data"], json!(["POSITIVE", "NEGATIVE"]));

    let many =
        json!({ "name": "text", "shape": [300], "datatype": "BYTES", "parameters": { "binary_data_size": 300 * 604 } });
    let (head, _) = split(post_binary(
        &server,
        &json!({ "inputs": [many], "parameters": { "binary_data_output": true } }),
        &tensor(&vec![&*"good ".repeat(120); 300]),
    ));
    assert_eq!(head["outputs"][0]["shape"], json!([300]));

    let error = refused(post_binary(&server, &body, &sent[1..]), 400);
    assert!(error.starts_with("binary_data_size is "), "{error}");
    let request = server.agent.post(url(&server, "/v2/models/default/infer"));
    let error = refused(request.header("Inference-Header-Content-Length", "900").send("{}").unwrap(), 400);
    assert_eq!(error, "900 bytes should be JSON, but the body has 2");
}

#[test]
fn every_output_can_be_asked_for_by_its_name() {
    let server = Server::start(&[]);
    let names = ["label", "score", "truncated", "probabilities", "logits"];
    let outputs: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let args = json!({ "name": "args", "shape": [1], "datatype": "BYTES", "data": [TEXT] });
    let mut response = post(&server, "/v2/models/default/infer", &json!({ "inputs": [args], "outputs": outputs }));
    let body = json(&mut response);
    assert!(!body.to_string().contains("args"), "{body}");
    let found: Vec<_> =
        body["outputs"].as_array().unwrap().iter().map(|output| (&output["name"], &output["shape"])).collect();
    let (flat, wide) = (json!([1]), json!([1, 3]));
    let expected: Vec<_> = names.iter().map(|name| json!(name)).collect();
    assert_eq!(found.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>(), expected);
    assert_eq!(found.iter().map(|(_, shape)| *shape).collect::<Vec<_>>(), [&flat, &flat, &flat, &wide, &wide]);
    let probabilities = body["outputs"][3]["data"].as_array().unwrap();
    assert_eq!(probabilities[2], body["outputs"][1]["data"][0]);

    let outputs = json!([{ "name": "probabilities", "parameters": { "classification": 1 } }]);
    let mut response =
        post(&server, "/v2/models/default/infer", &json!({ "inputs": [input(&[TEXT])], "outputs": outputs }));
    let class = json(&mut response)["outputs"][0]["data"][0].as_str().unwrap().to_owned();
    assert!(class.starts_with("0.9") && class.ends_with(":2:POSITIVE"), "{class}");

    let two = json!({ "inputs": [input(&[TEXT]), input(&[TEXT])] });
    assert_eq!(refused(post(&server, "/v2/models/default/infer", &two), 400), "the model has 1 input, not more");
}

#[test]
fn the_model_has_a_version_a_configuration_and_statistics() {
    let server = Server::start(&[]);
    let model = get(&server, "/v2/models/default");
    assert_eq!(model, get(&server, "/v2/models/default/versions/1"));
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["outputs"][3], json!({ "name": "probabilities", "datatype": "FP32", "shape": [-1, 3] }));
    assert!(get(&server, "/v2")["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    assert_eq!(get(&server, "/v2/models/default/versions/1/ready")["ready"], true);
    let config = get(&server, "/v2/models/default/config");
    assert_eq!((&config["max_batch_size"], &config["input"][0]["data_type"]), (&json!(0), &json!("TYPE_STRING")));
    assert_eq!(config, get(&server, "/v2/models/default/versions/1/config"));
    for body in ["", "{}", r#"{"ready":true}"#] {
        let mut index = server.agent.post(url(&server, "/v2/repository/index")).send(body).unwrap();
        assert_eq!(json(&mut index), json!([{ "name": "default", "version": "1", "state": "READY", "reason": "" }]));
    }

    let texts = json!({ "inputs": [input(&[TEXT, "It is awful", "It broke"])] });
    for _ in 0..2 {
        assert_eq!(post(&server, "/v2/models/default/versions/1/infer", &texts).status(), 200);
    }
    refused(post(&server, "/v2/models/default/infer", &json!({ "inputs": [input(&["\u{200b}"])] })), 400);
    let statistics = get(&server, "/v2/models/stats");
    let found = &statistics["model_stats"][0];
    let count = |name: &str| found["inference_stats"][name]["count"].as_u64().unwrap();
    assert_eq!((&found["name"], &found["version"]), (&json!("default"), &json!("1")));
    assert_eq!((count("success"), count("fail"), count("cache_hit"), count("queue")), (6, 1, 3, 3));
    assert_eq!((count("compute_input"), count("compute_infer"), count("compute_output")), (3, 3, 6));
    assert_eq!(found["inference_count"], 3);
    assert!(
        found["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap() > 0
            && found["execution_count"].as_u64() >= Some(1)
    );
    assert!(found["last_inference"].as_u64().unwrap() > 1_700_000_000_000);
    for path in ["/v2/models/default/stats", "/v2/models/default/versions/1/stats"] {
        assert_eq!(get(&server, path), statistics, "{path}");
    }
    for path in [
        "/v2/models/default/versions/2",
        "/v2/models/default/versions/2/ready",
        "/v2/models/default/versions/%ff/stats",
    ] {
        refused(server.agent.get(url(&server, path)).call().unwrap(), 404);
    }
    refused(post(&server, "/v2/models/default/versions/2/infer", &texts), 404);
}

#[test]
fn what_is_not_spoken_is_not_there() {
    let server = Server::start(&[("MLOPS_PROTOCOLS", "oip")]);
    assert_eq!(post(&server, "/v2/models/default/infer", &json!({ "inputs": [input(&[TEXT])] })).status(), 200);
    for path in ["/api/v1/predict", "/api/v1/predict/batch", "/predict", "/v1/models/default:predict", "/classify", "/"]
    {
        let status = post(&server, path, &json!({})).status().as_u16();
        assert!([404, 405].contains(&status), "{path} {status}");
    }
    assert_eq!(server.get("/health").status(), 200);
    let server = Server::start(&[("MLOPS_PROTOCOLS", "native")]);
    assert_eq!(server.predict(TEXT)["label"], "POSITIVE");
    assert_eq!(server.agent.get(url(&server, "/v2")).call().unwrap().status(), 404);
}
