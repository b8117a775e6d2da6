//! Explanations, feedback and drift against the real model and the real ONNX Runtime.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper may fail its test")]

mod common;
#[path = "insight/drift.rs"]
mod drift;
#[path = "insight/explain.rs"]
mod explain;
#[path = "insight/feedback.rs"]
mod feedback;

use common::{Server, assert_keys, json, series};
use serde_json::{Value, json};
use ureq::{Body, http::Response};

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
