//! What the service is, and its series.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, App, docs,
    openapi::{Failing, Failures, tags},
};
use crate::{metrics, version};

/// Name of the one backend.
pub(super) const BACKEND_NAME: &str = "onnx";

#[derive(Serialize, ToSchema)]
pub(super) struct Root {
    /// Always `KubeSentiment`.
    #[schema(example = "KubeSentiment")]
    service: &'static str,
    version: &'static str,
    /// Always `operational`.
    #[schema(example = "operational")]
    status: &'static str,
    /// Path of this documentation, unless it is turned off.
    #[schema(example = "/docs")]
    docs_url: Option<&'static str>,
    #[schema(example = "/api/v1/health")]
    health_url: String,
}

/// What this is
#[utoipa::path(
    get, path = "/", operation_id = "root", tag = tags::SERVICE,
    responses((status = OK, description = "Name, version, and where to go on", body = Root)),
)]
pub(super) async fn root(State(app): State<Arc<App>>) -> Json<Root> {
    Json(Root::of(&app))
}

impl Root {
    pub(super) fn of(app: &App) -> Self {
        Self {
            service: "KubeSentiment",
            version: version(),
            status: "operational",
            docs_url: app.config.docs_enabled.then_some(docs::PATH),
            health_url: format!("{}/health", app.config.prefix()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "the shape is the predecessor's")]
pub(super) struct ModelInfo<'a> {
    model_name: &'a str,
    backend: &'static str,
    model_path: String,
    model_file: Option<String>,
    #[schema(value_type = Vec<String>)]
    execution_providers: [&'static str; 1],
    is_loaded: bool,
    is_quantized: bool,
    is_optimized: bool,
    /// Characters that a text may have.
    max_text_length: usize,
    /// Tokens that a text is cut to.
    max_tokens: Option<usize>,
    /// Class names by index.
    labels: Vec<&'a str>,
    /// Whether answers are kept, in memory or in Redis.
    cache_enabled: bool,
    /// Answers that are kept in memory.
    cache_size: usize,
    /// Answers that may be kept in memory.
    cache_maxsize: usize,
    onnx_intra_op_threads: usize,
    onnx_inter_op_threads: usize,
    onnx_execution_mode: &'static str,
    inference_threads: Option<usize>,
    tokenizer_is_fast: bool,
    /// SHA-256 over every file that shapes an answer; null until the files are hashed, soon after the start.
    #[schema(example = "sha256:d10fe33f2a0b80d6a7f6a3f3a2f0b7b2f7a7a0d5c4e3b2a190817263544536271")]
    model_digest: Option<String>,
    /// What the model tells of a text, by its name in `config.json`.
    #[schema(example = "single_label_classification")]
    problem_type: Option<&'static str>,
    /// What makes scores of its outputs: `softmax`, `sigmoid` or `none`.
    #[schema(example = "softmax")]
    activation: Option<&'static str>,
}

/// Which model is served, and within which limits
#[utoipa::path(
    get, path = "/model-info", operation_id = "model_info", tag = tags::SERVICE,
    responses((status = OK, description = "The model and its limits", body = ModelInfo)),
)]
pub(super) async fn model_info(State(app): State<Arc<App>>) -> Response {
    let model = app.predictor.served();
    let model = model.as_deref();
    let cache = model.and_then(|model| model.cache.as_ref());
    let model_file = model.and_then(|model| model.file.file_name());
    let info = ModelInfo {
        model_name: &app.config.model.name,
        backend: BACKEND_NAME,
        model_path: app.config.model.path.display().to_string(),
        model_file: model_file.map(|name| name.to_string_lossy().into_owned()),
        execution_providers: ["CPUExecutionProvider"],
        is_loaded: model.is_some(),
        is_quantized: model.is_some_and(|model| model.is_quantized),
        // Every graph is optimized as it is loaded.
        is_optimized: model.is_some(),
        max_text_length: app.config.max_text_length,
        max_tokens: model.map(|model| model.max_tokens),
        labels: model.map(|model| model.head.names().collect()).unwrap_or_default(),
        cache_enabled: app.config.cache_entries.is_some() || app.config.redis.is_some(),
        cache_size: match cache {
            Some(cache) => cache.entries().await,
            None => 0,
        },
        cache_maxsize: app.config.cache_entries.unwrap_or(0),
        // By construction: parallel runs, one thread each.
        onnx_intra_op_threads: 1,
        onnx_inter_op_threads: 1,
        onnx_execution_mode: "ORT_SEQUENTIAL",
        inference_threads: model.map(|model| model.threads),
        tokenizer_is_fast: true,
        model_digest: model.and_then(|model| model.digest.get()).cloned(),
        problem_type: model.map(|model| model.head.problem().as_str()),
        activation: model.map(|model| model.head.activation().as_str()),
    };
    Json(info).into_response()
}

/// How series can fail to be written.
pub(super) struct Rendering;

impl Failing for Rendering {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::Internal("the series can't be written")]
    }
}

/// The series, for Prometheus
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = tags::SERVICE,
    responses(
        (status = OK, description = "Prometheus text", body = String, content_type = metrics::CONTENT_TYPE),
        Failures<Rendering>,
    ),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let model = app.predictor.served();
    let text = match model.as_ref().and_then(|model| model.drift.as_ref()) {
        Some(drift) => app.metrics.render_with(&drift.report()),
        None => app.metrics.render(),
    };
    let text = text.map_err(|_| ApiError::Internal("the series can't be written"))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
