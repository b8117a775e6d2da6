//! Explanations, feedback and drift against the real model and the real ONNX Runtime.

mod drift;
mod explain;
mod feedback;

use serde_json::{Value, json};
use ureq::{Body, http::Response};

use crate::common::{Server, assert_keys, json, series};

fn post(server: &Server, path: &str, body: &Value) -> Response<Body> {
    server.post(path, &body.to_string())
}

/// The body of an answer with this status.
fn answer(mut response: Response<Body>, status: u16) -> Value {
    let found = response.status().as_u16();
    let body = json(&mut response);
    assert_eq!(found, status, "{body}");
    body
}

/// The code of an error and the kinds of its problems.
fn refused(response: Response<Body>, status: u16) -> (String, Vec<String>) {
    let body = answer(response, status);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = body["validation_errors"].as_array().into_iter().flatten();
    (text(&body["error_code"]), problems.map(|problem| text(&problem["type"])).collect())
}
