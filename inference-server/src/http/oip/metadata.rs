//! The model's inputs and outputs, its configuration, and the list of models.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Failures, TAG,
    model_name::{Known, ModelName, Naming},
};
use crate::{
    http::{ApiError, App, bodies::Received, fields::Fields},
    open_inference::{Output, PLATFORM, TEXT, VERSION},
};

/// Largest body that asks for the list of models.
const MOST_BYTES: usize = 64 * 1024;

#[derive(Serialize, ToSchema)]
pub(super) struct ModelMetadata {
    name: String,
    #[schema(value_type = Vec<String>)]
    versions: [&'static str; 1],
    #[schema(example = "onnxruntime_onnx")]
    platform: &'static str,
    #[schema(value_type = Vec<TensorMetadata>)]
    inputs: [TensorMetadata; 1],
    #[schema(value_type = Vec<TensorMetadata>)]
    outputs: [TensorMetadata; Output::ALL.len()],
}

#[derive(Serialize, ToSchema)]
pub(super) struct TensorMetadata {
    #[schema(example = "text")]
    name: &'static str,
    #[schema(example = "BYTES")]
    datatype: &'static str,
    /// -1 stands for any number of texts, and for a number of classes that isn't known before the model is loaded.
    shape: Vec<i64>,
}

/// The model's inputs and outputs
#[utoipa::path(
    get, path = "/v2/models/{name}", operation_id = "protocol_model", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses((status = OK, description = "The model", body = ModelMetadata), Failures<Naming>),
)]
pub(super) async fn model(State(app): State<Arc<App>>, Known(name): Known) -> Json<ModelMetadata> {
    Json(ModelMetadata {
        name,
        versions: [VERSION],
        platform: PLATFORM,
        inputs: [TensorMetadata { name: TEXT, datatype: "BYTES", shape: vec![-1] }],
        outputs: Output::ALL.map(|output| TensorMetadata {
            name: output.name(),
            datatype: output.datatype(),
            shape: shape(&app, output),
        }),
    })
}

/// An output's shape for any number of texts.
fn shape(app: &App, output: Output) -> Vec<i64> {
    if !output.is_of_classes() {
        return vec![-1];
    }
    let columns = app.predictor.served().and_then(|model| output.columns(&model.head));
    vec![-1, columns.and_then(|columns| i64::try_from(columns).ok()).unwrap_or(-1)]
}

#[derive(Serialize, ToSchema)]
pub(super) struct ModelConfig {
    name: String,
    #[schema(example = "onnxruntime_onnx")]
    platform: &'static str,
    #[schema(example = "onnxruntime")]
    backend: &'static str,
    version_policy: VersionPolicy,
    /// Always 0: shapes name the number of texts themselves.
    max_batch_size: u32,
    #[schema(value_type = Vec<ConfiguredTensor>)]
    input: [ConfiguredTensor; 1],
    #[schema(value_type = Vec<ConfiguredTensor>)]
    output: [ConfiguredTensor; Output::ALL.len()],
    instance_group: Vec<InstanceGroup>,
}

#[derive(Serialize, ToSchema)]
struct VersionPolicy {
    latest: LatestVersions,
}

#[derive(Serialize, ToSchema)]
struct LatestVersions {
    num_versions: u32,
}

#[derive(Serialize, ToSchema)]
struct ConfiguredTensor {
    #[schema(example = "text")]
    name: &'static str,
    #[schema(example = "TYPE_STRING")]
    data_type: &'static str,
    dims: Vec<i64>,
}

#[derive(Serialize, ToSchema)]
struct InstanceGroup {
    #[schema(example = "KIND_CPU")]
    kind: &'static str,
    /// Inference threads.
    count: usize,
}

/// The model's configuration, as Triton shows it
#[utoipa::path(
    get, path = "/v2/models/{name}/config", operation_id = "protocol_config", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses((status = OK, description = "The configuration", body = ModelConfig), Failures<Naming>),
)]
pub(super) async fn config(State(app): State<Arc<App>>, Known(name): Known) -> Json<ModelConfig> {
    let threads = app.predictor.served().map(|model| model.threads);
    Json(ModelConfig {
        name,
        platform: PLATFORM,
        backend: "onnxruntime",
        version_policy: VersionPolicy { latest: LatestVersions { num_versions: 1 } },
        max_batch_size: 0,
        input: [ConfiguredTensor { name: TEXT, data_type: "TYPE_STRING", dims: vec![-1] }],
        output: Output::ALL.map(|output| ConfiguredTensor {
            name: output.name(),
            data_type: match output.datatype() {
                "BYTES" => "TYPE_STRING",
                "BOOL" => "TYPE_BOOL",
                _ => "TYPE_FP32",
            },
            dims: shape(&app, output),
        }),
        instance_group: threads.map(|count| InstanceGroup { kind: "KIND_CPU", count }).into_iter().collect(),
    })
}

/// The body as documented; it may be left out.
#[derive(ToSchema)]
#[schema(as = IndexRequest, example = json!({ "ready": true }))]
#[expect(dead_code, reason = "only its shape is used")]
struct IndexRequest {
    /// Whether only models that are ready are wanted.
    ready: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct IndexedModel {
    name: String,
    #[schema(example = "1")]
    version: &'static str,
    /// `READY`, `LOADING`, or `UNAVAILABLE` while the server stops.
    #[schema(example = "READY")]
    state: &'static str,
    /// Why it isn't ready.
    reason: &'static str,
}

/// The models: there is one
#[utoipa::path(
    post, path = "/v2/repository/index", operation_id = "protocol_index", tag = TAG, request_body = Option<IndexRequest>,
    responses(
        (status = OK, description = "The models", body = Vec<IndexedModel>),
        Failures<(Received<MOST_BYTES>, super::request::Parsing)>,
    ),
)]
pub(super) async fn index(
    State(app): State<Arc<App>>,
    body: Received<MOST_BYTES>,
) -> Result<Json<Vec<IndexedModel>>, ApiError> {
    let only_ready = body.read(&app, only_ready).await?;
    let (state, reason) = match (app.predictor.served().is_some(), app.is_draining()) {
        (_, true) => ("UNAVAILABLE", "the server is stopping"),
        (false, _) => ("LOADING", "the model is still loading"),
        _ => ("READY", ""),
    };
    if only_ready && state != "READY" {
        return Ok(Json(Vec::new()));
    }
    Ok(Json(vec![IndexedModel { name: app.config.model.name.clone(), version: VERSION, state, reason }]))
}

fn only_ready(json: &str) -> Result<bool, ApiError> {
    if matches!(json.trim(), "" | "null") {
        return Ok(false);
    }
    let refused = |_| ApiError::Protocol("the body must be a JSON object, in which ready is true or false".to_owned());
    let mut fields = Fields::read(json, ["ready"]).map_err(refused)?;
    let ready = fields.boolean("ready");
    fields.finish().map_err(refused)?;
    Ok(ready.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_asked_for_with_or_without_a_body() {
        for (body, expected) in [
            ("", Ok(false)),
            ("null", Ok(false)),
            ("{}", Ok(false)),
            (r#"{"ready":true,"more":[1]}"#, Ok(true)),
            (r#"{"ready":null}"#, Ok(false)),
        ] {
            assert_eq!(only_ready(body), expected, "{body}");
        }
        for body in ["[]", "{", r#"{"ready":"yes"}"#] {
            assert!(matches!(only_ready(body), Err(ApiError::Protocol(_))), "{body}");
        }
    }
}
