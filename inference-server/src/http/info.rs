//! What the service is, and its series.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{ApiError, App};
use crate::{metrics, version};

/// Name of the one backend.
pub(super) const BACKEND_NAME: &str = "onnx";

#[derive(Serialize)]
pub(super) struct Root {
    service: &'static str,
    version: &'static str,
    status: &'static str,
    docs_url: &'static str,
    health_url: String,
}

pub(super) async fn root(State(app): State<Arc<App>>) -> Json<Root> {
    Json(Root {
        service: "KubeSentiment",
        version: version(),
        status: "operational",
        docs_url: "/docs",
        health_url: format!("{}/health", app.config.prefix()),
    })
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the shape is the predecessor's")]
pub(super) struct ModelInfo<'a> {
    model_name: &'a str,
    backend: &'static str,
    model_path: String,
    model_file: Option<String>,
    execution_providers: [&'static str; 1],
    is_loaded: bool,
    is_quantized: bool,
    is_optimized: bool,
    max_text_length: usize,
    max_tokens: Option<usize>,
    labels: Vec<&'a str>,
    cache_enabled: bool,
    cache_size: usize,
    cache_maxsize: usize,
    onnx_intra_op_threads: usize,
    onnx_inter_op_threads: usize,
    onnx_execution_mode: &'static str,
    inference_threads: Option<usize>,
    tokenizer_is_fast: bool,
}

pub(super) async fn model_info(State(app): State<Arc<App>>) -> Response {
    let serving = app.serving();
    let model_file = serving.and_then(|serving| serving.model_file.file_name());
    let info = ModelInfo {
        model_name: &app.config.model.name,
        backend: BACKEND_NAME,
        model_path: app.config.model.path.display().to_string(),
        model_file: model_file.map(|name| name.to_string_lossy().into_owned()),
        execution_providers: ["CPUExecutionProvider"],
        is_loaded: serving.is_some(),
        is_quantized: serving.is_some_and(|serving| serving.is_quantized),
        // Every graph is optimized as it is loaded.
        is_optimized: serving.is_some(),
        max_text_length: app.config.max_text_length,
        max_tokens: serving.map(|serving| serving.max_tokens),
        labels: serving.map(|serving| serving.labels.names().collect()).unwrap_or_default(),
        cache_enabled: app.cache.is_some(),
        cache_size: match &app.cache {
            Some(cache) => cache.entries().await,
            None => 0,
        },
        cache_maxsize: app.config.cache_entries.unwrap_or(0),
        // By construction: parallel runs, one thread each.
        onnx_intra_op_threads: 1,
        onnx_inter_op_threads: 1,
        onnx_execution_mode: "ORT_SEQUENTIAL",
        inference_threads: serving.map(|serving| serving.threads),
        tokenizer_is_fast: true,
    };
    Json(info).into_response()
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let text = app.metrics.render().map_err(|_| ApiError::Internal("the series can't be written"))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
