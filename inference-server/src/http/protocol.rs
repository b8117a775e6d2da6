//! The Open Inference Protocol, version 2, over REST: how clients of other model servers ask
//! this one too. Its paths are fixed, so they are never under the prefix.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{ArrayBuilder, OneOfBuilder, Schema},
    },
};

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    openapi::{Failing, ProtocolFailures, tags},
    predict, predict_batch,
    texts::{self, Text, WhenFull},
};
use crate::{cache::Answer, version};

/// Name of the one input.
const TEXT: &str = "text";
const LABEL: &str = "label";
const SCORE: &str = "score";
const TRUNCATED: &str = "truncated";

/// Names of all outputs.
const OUTPUTS: [&str; 3] = [LABEL, SCORE, TRUNCATED];

/// Whether a path is of this protocol, whose errors have a shape of their own.
pub(super) fn owns(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// The protocol's shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = ProtocolError)]
pub(super) struct ErrorBody {
    /// What went wrong.
    error: String,
}

impl ErrorBody {
    pub(super) fn of(error: &ApiError) -> Self {
        Self { error: error.to_string() }
    }
}

/// A model's name in the document, which puts the served one in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct ModelName(String);

#[derive(Serialize, ToSchema)]
pub(super) struct ServerMetadata {
    #[schema(example = "KubeSentiment")]
    name: &'static str,
    version: &'static str,
    /// None: data is JSON.
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; 0],
}

/// The server's name and version
#[utoipa::path(
    get, path = "/v2", operation_id = "protocol_server", tag = tags::PROTOCOL,
    responses((status = OK, description = "The server", body = ServerMetadata)),
)]
pub(super) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "KubeSentiment", version: version(), extensions: [] })
}

#[derive(Serialize, ToSchema)]
pub(super) struct ServerLive {
    /// Always true.
    live: bool,
}

/// Whether the process serves
#[utoipa::path(
    get, path = "/v2/health/live", operation_id = "protocol_live", tag = tags::PROTOCOL,
    responses((status = OK, description = "The process serves", body = ServerLive)),
)]
pub(super) async fn live() -> Json<ServerLive> {
    Json(ServerLive { live: true })
}

#[derive(Serialize, ToSchema)]
pub(super) struct ServerReady {
    ready: bool,
}

/// Whether new requests should come here
#[utoipa::path(
    get, path = "/v2/health/ready", operation_id = "protocol_ready", tag = tags::PROTOCOL,
    responses(
        (status = OK, description = "Ready", body = ServerReady),
        (status = SERVICE_UNAVAILABLE, description = "Not ready", body = ServerReady),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let ready = app.is_ready();
    (ready_status(ready), Json(ServerReady { ready })).into_response()
}

#[derive(Serialize, ToSchema)]
pub(super) struct ModelReady {
    name: String,
    ready: bool,
}

/// Whether the model takes texts
#[utoipa::path(
    get, path = "/v2/models/{name}/ready", operation_id = "protocol_model_ready", tag = tags::PROTOCOL,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses(
        (status = OK, description = "Ready", body = ModelReady),
        (status = SERVICE_UNAVAILABLE, description = "Not ready", body = ModelReady),
        ProtocolFailures<Naming>,
    ),
)]
pub(super) async fn model_ready(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    known(&app, &name)?;
    let ready = app.is_ready();
    Ok((ready_status(ready), Json(ModelReady { name, ready })).into_response())
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ModelMetadata {
    name: String,
    /// None: the model has no versions.
    #[schema(value_type = Vec<String>)]
    versions: [&'static str; 0],
    #[schema(example = "onnxruntime_onnx")]
    platform: &'static str,
    #[schema(value_type = Vec<TensorMetadata>)]
    inputs: [TensorMetadata; 1],
    #[schema(value_type = Vec<TensorMetadata>)]
    outputs: [TensorMetadata; 3],
}

#[derive(Serialize, ToSchema)]
pub(super) struct TensorMetadata {
    #[schema(example = "text")]
    name: &'static str,
    #[schema(example = "BYTES")]
    datatype: &'static str,
    /// -1 stands for any number of texts.
    #[schema(value_type = Vec<i64>)]
    shape: [i64; 1],
}

/// The model's inputs and outputs
#[utoipa::path(
    get, path = "/v2/models/{name}", operation_id = "protocol_model", tag = tags::PROTOCOL,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses((status = OK, description = "The model", body = ModelMetadata), ProtocolFailures<Naming>),
)]
pub(super) async fn model(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<ModelMetadata>, ApiError> {
    known(&app, &name)?;
    let tensor = |name, datatype| TensorMetadata { name, datatype, shape: [-1] };
    Ok(Json(ModelMetadata {
        name,
        versions: [],
        platform: "onnxruntime_onnx",
        inputs: [tensor(TEXT, "BYTES")],
        outputs: [tensor(LABEL, "BYTES"), tensor(SCORE, "FP32"), tensor(TRUNCATED, "BOOL")],
    }))
}

/// How [`known`] fails.
pub(super) struct Naming;

impl Failing for Naming {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::UnknownModel("other".to_owned())]
    }
}

fn known(app: &App, name: &str) -> Result<(), ApiError> {
    if name == app.config.model.name { Ok(()) } else { Err(ApiError::UnknownModel(name.to_owned())) }
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferRequest, example = json!({
    "inputs": [{ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["I love this product", "It is awful"] }]
}))]
struct Request {
    /// Echoed in the answer.
    id: Option<String>,
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<Input>,
    /// The outputs that are wanted; all when there are none.
    outputs: Option<Vec<Requested>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferInput)]
struct Input {
    #[schema(pattern = "^text$", example = "text")]
    name: String,
    /// Its product is the number of texts, 1 to 1000.
    #[schema(value_type = Vec<Side>, min_items = 1)]
    shape: Vec<usize>,
    #[schema(pattern = "^BYTES$", example = "BYTES")]
    datatype: String,
    /// The texts, flat or nested by shape.
    #[schema(value_type = Vec<Element>, min_items = 1)]
    data: Value,
}

/// A side of a shape, in the document.
#[derive(ToSchema)]
#[schema(as = InferSide, minimum = 1, maximum = 1000)]
#[expect(dead_code, reason = "only its shape is used")]
struct Side(usize);

/// What data is made of, in the document: a text, or a list of elements.
struct Element;

impl utoipa::PartialSchema for Element {
    fn schema() -> RefOr<Schema> {
        let nested = ArrayBuilder::new().items(Ref::from_schema_name(Self::name()));
        OneOfBuilder::new().item(Ref::from_schema_name(Text::name())).item(nested).into()
    }
}

impl ToSchema for Element {
    fn name() -> Cow<'static, str> {
        "InferElement".into()
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferRequestedOutput)]
struct Requested {
    #[schema(pattern = "^(label|score|truncated)$", example = "label")]
    name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferResponse)]
struct Inferred<'a> {
    model_name: &'a str,
    /// The request's, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferOutput)]
struct Output<'a> {
    #[schema(example = "label")]
    name: &'static str,
    /// As the input's.
    shape: &'a [usize],
    #[schema(example = "BYTES")]
    datatype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferData)]
#[serde(untagged)]
enum Data<'a> {
    Labels(Vec<&'a str>),
    Scores(Vec<f32>),
    Truncated(Vec<bool>),
}

/// How [`parse`] fails.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let shape = "the shape [3] does not hold the 1 elements of the data".to_owned();
        vec![ApiError::Protocol(shape), ApiError::TextTooLong { characters: 3000, most: 2000 }]
    }
}

/// The label and score of 1 to 1000 texts
#[utoipa::path(
    post, path = "/v2/models/{name}/infer", operation_id = "protocol_infer", tag = tags::PROTOCOL,
    params(("name" = ModelName, Path, description = "The model's name")), request_body = Request,
    responses(
        (status = OK, description = "The outputs that are wanted", body = Inferred),
        ProtocolFailures<((Naming, Received<{ predict_batch::MOST_BYTES }>), Parsing, texts::Classifying)>,
    ),
)]
pub(super) async fn infer(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    Path(name): Path<String>,
    body: Result<Received<{ predict_batch::MOST_BYTES }>, ApiError>,
) -> Result<Response, ApiError> {
    known(&app, &name)?;
    let Received(body) = body?;
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
    let (datatype, data) = match name {
        LABEL => ("BYTES", Data::Labels(answers.iter().map(|answer| &*answer.verdict.label).collect())),
        SCORE => ("FP32", Data::Scores(answers.iter().map(|answer| answer.verdict.score).collect())),
        _ => ("BOOL", Data::Truncated(answers.iter().map(|answer| answer.truncated).collect())),
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
    if !input.data.is_array() {
        return refuse("the data must be a list of texts, flat or nested by shape".to_owned());
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
        _ => Ok(OUTPUTS.to_vec()),
    }?;
    Ok(Parsed { id: request.id, shape: input.shape, texts, wanted })
}

fn known_output(name: &str) -> Result<&'static str, ApiError> {
    let known = OUTPUTS.into_iter().find(|known| *known == name);
    known.ok_or_else(|| {
        ApiError::Protocol(format!("the model has the outputs label, score and truncated, but no {name:?}"))
    })
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
    use serde_json::json;

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
            assert_eq!(parsed.wanted, ["label", "score", "truncated"]);
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
            (body(&json!([1]), &json!("a")), "the data must be a list of texts, flat or nested by shape"),
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
        assert_eq!(refused(&body), "the model has the outputs label, score and truncated, but no \"logits\"");
    }
}
