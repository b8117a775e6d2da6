//! The server, and whether it and the model are ready.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Failures, TAG,
    model_name::{Known, ModelName, Naming},
};
use crate::{http::App, version};

/// What is spoken beside the protocol itself, by Triton's names.
const EXTENSIONS: [&str; 4] = ["binary_tensor_data", "classification", "model_configuration", "statistics"];

#[derive(Serialize, ToSchema)]
pub(super) struct ServerMetadata {
    #[schema(example = "KubeSentiment")]
    name: &'static str,
    version: &'static str,
    /// What is spoken beside the protocol itself, by Triton's names.
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; EXTENSIONS.len()],
}

/// The server's name and version
#[utoipa::path(
    get, path = "/v2", operation_id = "protocol_server", tag = TAG,
    responses((status = OK, description = "The server", body = ServerMetadata)),
)]
pub(super) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "KubeSentiment", version: version(), extensions: EXTENSIONS })
}

#[derive(Serialize, ToSchema)]
pub(super) struct ServerLive {
    /// Always true.
    live: bool,
}

/// Whether the process serves
#[utoipa::path(
    get, path = "/v2/health/live", operation_id = "protocol_live", tag = TAG,
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
    get, path = "/v2/health/ready", operation_id = "protocol_ready", tag = TAG,
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
    get, path = "/v2/models/{name}/ready", operation_id = "protocol_model_ready", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses(
        (status = OK, description = "Ready", body = ModelReady),
        (status = SERVICE_UNAVAILABLE, description = "Not ready", body = ModelReady),
        Failures<Naming>,
    ),
)]
pub(super) async fn model_ready(State(app): State<Arc<App>>, Known(name): Known) -> Response {
    let ready = app.is_ready();
    (ready_status(ready), Json(ModelReady { name, ready })).into_response()
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
