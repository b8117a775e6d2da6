//! The models: there is one.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Failures, TAG};
use crate::http::{
    App,
    oip::{Known, ModelName, Naming},
};

/// The models, as `KServe` lists them and as clients of vLLM read such a list.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelList)]
pub(in crate::http) struct List {
    models: Vec<String>,
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ListedModel>,
}

#[derive(Serialize, ToSchema)]
struct ListedModel {
    #[schema(example = "default")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    #[schema(example = "kubesentiment")]
    owned_by: &'static str,
}

/// The names of the models
///
/// `models` is what clients of `KServe` read, `data` what those of vLLM do.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "kserve_models", tag = TAG,
    responses((status = OK, description = "The models", body = List)),
)]
pub(in crate::http) async fn list(State(app): State<Arc<App>>) -> Json<List> {
    let name = || app.config.model.name.clone();
    let data = vec![ListedModel { id: name(), object: "model", owned_by: "kubesentiment" }];
    Json(List { models: vec![name()], object: "list", data })
}

#[derive(Serialize, ToSchema)]
#[schema(as = KserveModel)]
pub(super) struct Model {
    name: String,
    ready: bool,
}

/// Whether the model takes texts
#[utoipa::path(
    get, path = "/v1/models/{name}", operation_id = "kserve_model", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses(
        (status = OK, description = "Ready", body = Model),
        (status = SERVICE_UNAVAILABLE, description = "Not ready", body = Model),
        Failures<Naming>,
    ),
)]
pub(super) async fn model(State(app): State<Arc<App>>, Known(name): Known) -> Response {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Model { name, ready })).into_response()
}
