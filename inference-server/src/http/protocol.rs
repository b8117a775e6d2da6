//! The Open Inference Protocol, version 2, over REST: how clients of other model servers ask
//! this one too. Its paths are fixed, so they are never under the prefix.

mod data;
mod outputs;
mod request;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    openapi::{Failing, ProtocolFailures, tags},
    predict, predict_batch, texts,
};
use crate::{
    predict::{Call, Prediction, Text, WhenFull},
    protocol::Protocol,
    version,
};
use request::{Parsed, Request};

/// Name of the one input.
const TEXT: &str = "text";
const LABEL: &str = "label";
const SCORE: &str = "score";
const TRUNCATED: &str = "truncated";

/// Names of all outputs.
const OUTPUTS: [&str; 3] = [LABEL, SCORE, TRUNCATED];

/// Says where the JSON of a body ends and binary data begins, as clients of Triton ask by default.
const BINARY: &str = "inference-header-content-length";

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
pub(super) async fn model_ready(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let name = known(&app, name)?;
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
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelMetadata>, ApiError> {
    let name = known(&app, name)?;
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

/// The name, if it is the served model's. One that is no text is no model's.
fn known(app: &App, name: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if name == app.config.model.name { Ok(name) } else { Err(ApiError::UnknownModel(name)) }
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

/// How a request can be wrong.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let shape = "the shape [3] does not hold the 1 elements of the data".to_owned();
        let too_long = ApiError::TextTooLong { characters: 3000, most: 2000 };
        vec![ApiError::Protocol(shape), ApiError::AtText { index: 0, error: Box::new(too_long) }]
    }
}

/// The label and score of 1 to 1000 texts
#[utoipa::path(
    post, path = "/v2/models/{name}/infer", operation_id = "protocol_infer", tag = tags::PROTOCOL,
    params(("name" = ModelName, Path, description = "The model's name")), request_body = Request,
    responses(
        (status = OK, description = "The outputs that are wanted", body = Inferred),
        ProtocolFailures<((Naming, Received<{ predict_batch::MOST_BYTES }>), Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn infer(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Received<{ predict_batch::MOST_BYTES }>, ApiError>,
) -> Result<Response, ApiError> {
    known(&app, name)?;
    if headers.contains_key(BINARY) {
        return Err(ApiError::Protocol(format!(
            "the binary extension isn't there: send data as JSON, without {BINARY}"
        )));
    }
    let body = body?;
    // One text is a prediction like any other; more, or a body that may hold more, is a batch.
    let mut place = if body.may_exceed(predict::MOST_BYTES) { Some(predict_batch::place(&app)?) } else { None };
    let longest = app.config.max_text_length;
    let Parsed { id, shape, texts, wanted } = body.read(&app, move |json| request::parse(json, longest)).await?;
    if texts.len() > 1 && place.is_none() {
        place = Some(predict_batch::place(&app)?);
    }
    let model = app.predictor.model()?;
    let call = |when_full| Call { protocol: Protocol::Oip, deadline, when_full };
    let answers = match <[Text; 1]>::try_from(texts) {
        Ok([text]) => {
            drop(place.take());
            let answer = app.predictor.predict(&model, text, call(WhenFull::Refuse)).await;
            vec![answer.map_err(|error| at(0, error.into()))?]
        }
        Err(texts) => {
            let answers = app.predictor.predict_each(&model, texts, call(WhenFull::Wait)).enumerate();
            let all = answers.map(|(index, answer)| answer?.map_err(|error| at(index, error.into())));
            all.try_collect().await?
        }
    };
    drop(place);
    let outputs = wanted.into_iter().map(|name| output(name, &shape, &answers)).collect();
    Ok(Json(Inferred { model_name: &app.config.model.name, id, outputs }).into_response())
}

/// An error with the place of the text that it is about: there is no room for one beside the answers of others.
fn at(index: usize, error: ApiError) -> ApiError {
    if error.is_of_one_text() { ApiError::AtText { index, error: Box::new(error) } } else { error }
}

fn output<'a>(name: &'static str, shape: &'a [usize], answers: &'a [Prediction]) -> Output<'a> {
    let (datatype, data) = match name {
        LABEL => ("BYTES", Data::Labels(answers.iter().map(|answer| &*answer.verdict.label).collect())),
        SCORE => ("FP32", Data::Scores(answers.iter().map(|answer| answer.verdict.score).collect())),
        _ => ("BOOL", Data::Truncated(answers.iter().map(|answer| answer.truncated).collect())),
    };
    Output { name, shape, datatype, data }
}
