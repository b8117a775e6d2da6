//! `GET /info`: the model and its limits.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Failures, TAG};
use crate::{
    http::{ApiError, App, openapi::Failing, rows::MOST_TEXTS},
    predict::PredictError,
    version,
};

#[derive(Serialize, ToSchema)]
#[schema(as = TeiInfo)]
pub(super) struct Info {
    #[schema(example = "default")]
    model_id: String,
    /// SHA-256 over every file that shapes an answer; null until the files are hashed, soon after the start.
    model_sha: Option<String>,
    /// `int8` or `float32`.
    #[schema(example = "int8")]
    model_dtype: &'static str,
    model_type: ModelType,
    /// Texts that may wait.
    max_concurrent_requests: usize,
    /// Tokens that the model reads at once.
    max_input_length: usize,
    max_batch_tokens: usize,
    max_batch_requests: usize,
    /// Texts of a request.
    max_client_batch_size: usize,
    version: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TeiModelType)]
struct ModelType {
    classifier: Classifier,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TeiClassifier)]
struct Classifier {
    /// Labels by class.
    id2label: BTreeMap<String, String>,
    /// Classes by label.
    label2id: BTreeMap<String, usize>,
}

/// How it fails.
pub(super) struct Loading;

impl Failing for Loading {
    fn failures() -> Vec<ApiError> {
        vec![PredictError::NotReady.into()]
    }
}

/// The model and its limits
#[utoipa::path(
    get, path = "/info", operation_id = "tei_info", tag = TAG,
    responses((status = OK, description = "The model and its limits", body = Info), Failures<Loading>),
)]
pub(super) async fn info(State(app): State<Arc<App>>) -> Result<Json<Info>, ApiError> {
    let model = app.predictor.served().ok_or(PredictError::NotReady)?;
    let engine = &app.config.engine;
    let names = || model.head.names().enumerate();
    let classifier = Classifier {
        id2label: names().map(|(index, name)| (index.to_string(), name.to_owned())).collect(),
        label2id: names().map(|(index, name)| (name.to_owned(), index)).collect(),
    };
    Ok(Json(Info {
        model_id: app.config.model.name.clone(),
        model_sha: model.digest.get().map(ToString::to_string),
        model_dtype: if model.is_quantized { "int8" } else { "float32" },
        model_type: ModelType { classifier },
        max_concurrent_requests: engine.queue_capacity,
        max_input_length: model.max_tokens,
        max_batch_tokens: engine.max_batch_tokens,
        max_batch_requests: engine.max_batch_size,
        max_client_batch_size: MOST_TEXTS,
        version: version(),
    }))
}
