//! The Open Inference Protocol, version 2, over REST: how clients of other model servers ask
//! this one too. Its paths are fixed, so they are never under the prefix.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ApiError, App, predict, predict_batch,
    texts::{self, Text, WhenFull},
};
use crate::{cache::Answer, version};

/// Name of the one input.
const TEXT: &str = "text";
const LABEL: &str = "label";
const SCORE: &str = "score";

/// Whether a path is of this protocol, whose errors have a shape of their own.
pub(super) fn owns(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// The protocol's shape of an error.
pub(super) fn error_body(error: &ApiError) -> Response {
    Json(json!({ "error": error.to_string() })).into_response()
}

pub(super) async fn server() -> Json<Value> {
    Json(json!({ "name": "KubeSentiment", "version": version(), "extensions": [] }))
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    (ready_status(ready), Json(json!({ "ready": ready }))).into_response()
}

pub(super) async fn model_ready(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    known(&app, &name)?;
    let ready = app.is_ready();
    Ok((ready_status(ready), Json(json!({ "name": name, "ready": ready }))).into_response())
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    known(&app, &name)?;
    let tensor = |name, datatype| json!({ "name": name, "datatype": datatype, "shape": [-1] });
    Ok(Json(json!({
        "name": name,
        "versions": [],
        "platform": "onnxruntime_onnx",
        "inputs": [tensor(TEXT, "BYTES")],
        "outputs": [tensor(LABEL, "BYTES"), tensor(SCORE, "FP32")],
    })))
}

fn known(app: &App, name: &str) -> Result<(), ApiError> {
    if name == app.config.model.name { Ok(()) } else { Err(ApiError::UnknownModel(name.to_owned())) }
}

#[derive(Debug, Deserialize)]
struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    outputs: Option<Vec<Requested>>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Value,
}

#[derive(Debug, Deserialize)]
struct Requested {
    name: String,
}

#[derive(Serialize)]
struct Inferred<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'static str,
    shape: &'a [usize],
    datatype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Labels(Vec<&'a str>),
    Scores(Vec<f32>),
}

pub(super) async fn infer(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.config.request_timeout;
    known(&app, &name)?;
    let body = texts::received(body, predict_batch::MOST_BYTES)?;
    // One text is a prediction like any other; more, or a body that may hold more, is a batch.
    let mut place = if body.len() > predict::MOST_BYTES { Some(predict_batch::place(&app)?) } else { None };
    let Parsed { id, shape, texts, wanted } = parse(&body, app.config.max_text_length)?;
    drop(body);
    if texts.len() > 1 && place.is_none() {
        place = Some(predict_batch::place(&app)?);
    }
    let serving = texts::serving(&app)?;
    let answers = match <[Text; 1]>::try_from(texts) {
        Ok([text]) => vec![texts::classify(&app, serving, text, deadline, WhenFull::Refuse).await?],
        Err(texts) => texts::classify_all(&app, serving, texts, deadline).await?,
    };
    drop(place);
    let outputs = wanted.into_iter().map(|name| output(name, &shape, &answers)).collect();
    Ok(Json(Inferred { model_name: &app.config.model.name, id, outputs }).into_response())
}

fn output<'a>(name: &'static str, shape: &'a [usize], answers: &'a [Answer]) -> Output<'a> {
    let (datatype, data) = if name == LABEL {
        ("BYTES", Data::Labels(answers.iter().map(|answer| &*answer.verdict.label).collect()))
    } else {
        ("FP32", Data::Scores(answers.iter().map(|answer| answer.verdict.score).collect()))
    };
    Output { name, shape, datatype, data }
}

#[derive(Debug)]
struct Parsed {
    id: Option<String>,
    shape: Vec<usize>,
    texts: Vec<Text>,
    wanted: Vec<&'static str>,
}

fn parse(body: &[u8], most: usize) -> Result<Parsed, ApiError> {
    let refuse = |problem: String| Err(ApiError::Protocol(problem));
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::Protocol(error.to_string()))?;
    let [input] = <[Input; 1]>::try_from(request.inputs)
        .map_err(|inputs| ApiError::Protocol(format!("the model has 1 input, not {}", inputs.len())))?;
    if input.name != TEXT || input.datatype != "BYTES" {
        return refuse(format!("the input is {:?} of {}, but must be \"text\" of BYTES", input.name, input.datatype));
    }
    let mut values = Vec::new();
    flatten(input.data, &mut values);
    let elements = input.shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    if input.shape.is_empty() || elements != Some(values.len()) {
        return refuse(format!("the shape {:?} does not hold the {} elements of the data", input.shape, values.len()));
    }
    if !(1..=predict_batch::MOST_TEXTS).contains(&values.len()) {
        return refuse(format!("1 to {} texts are allowed, not {}", predict_batch::MOST_TEXTS, values.len()));
    }
    let mut texts = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let text = Text::of(Some(value), &[], most).map_err(|error| match error {
            ApiError::Validation(_) => ApiError::Protocol(format!("text {index}: {error}")),
            other => other,
        })?;
        texts.push(text);
    }
    let wanted = match request.outputs {
        Some(outputs) if !outputs.is_empty() => outputs.iter().map(|output| known_output(&output.name)).collect(),
        _ => Ok(vec![LABEL, SCORE]),
    }?;
    Ok(Parsed { id: request.id, shape: input.shape, texts, wanted })
}

fn known_output(name: &str) -> Result<&'static str, ApiError> {
    let known = [LABEL, SCORE].into_iter().find(|known| *known == name);
    known.ok_or_else(|| ApiError::Protocol(format!("the model has the outputs label and score, but no {name:?}")))
}

/// Data may be nested by shape or flat, in the same order.
fn flatten(value: Value, into: &mut Vec<Value>) {
    match value {
        // The parser bounds how deep this goes.
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, into)),
        value => into.push(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &Value) -> String {
        parse(body.to_string().as_bytes(), 9).unwrap_err().to_string()
    }

    fn body(shape: &Value, data: &Value) -> Value {
        json!({ "inputs": [{ "name": "text", "shape": shape, "datatype": "BYTES", "data": data }] })
    }

    #[test]
    fn data_is_flat_or_nested() {
        for data in [json!(["a", " b "]), json!([["a"], ["b"]])] {
            let parsed = parse(body(&json!([2, 1]), &data).to_string().as_bytes(), 9).unwrap();
            let texts: Vec<_> = parsed.texts.iter().map(|text| text.content.as_str()).collect();
            assert_eq!((texts, parsed.shape), (vec!["a", "b"], vec![2, 1]));
            assert_eq!(parsed.wanted, ["label", "score"]);
        }
    }

    #[test]
    fn what_does_not_follow_the_protocol_is_refused_in_a_sentence() {
        for (body, sentence) in [
            (body(&json!([3]), &json!(["a"])), "the shape [3] does not hold the 1 elements of the data"),
            (body(&json!([]), &json!(["a"])), "the shape [] does not hold the 1 elements of the data"),
            (body(&json!([u64::MAX, 2]), &json!(["a"])), "does not hold the 1 elements of the data"),
            (body(&json!([0]), &json!([])), "1 to 1000 texts are allowed, not 0"),
            (body(&json!([2]), &json!(["a", 7])), "text 1: Input should be a valid string"),
            (json!({ "inputs": [] }), "the model has 1 input, not 0"),
            (json!({}), "missing field `inputs`"),
            (
                json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": "INT64", "data": [1] }] }),
                "the input is \"x\" of INT64, but must be \"text\" of BYTES",
            ),
        ] {
            assert!(refused(&body).contains(sentence), "{} for {body}", refused(&body));
        }
        let mut body = body(&json!([1]), &json!(["a"]));
        body["outputs"] = json!([{ "name": "logits" }]);
        assert_eq!(refused(&body), "the model has the outputs label and score, but no \"logits\"");
    }
}
