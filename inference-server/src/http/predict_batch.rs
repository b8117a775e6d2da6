//! `POST /predict/batch`: up to 1000 texts, answered in order in the same response.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    info::BACKEND_NAME,
    openapi::{Failures, tags},
    rows::{self, Row, Rows},
    texts::{self, Refused, Text, milliseconds},
};
use crate::cache::Answer;

/// Largest body: 1000 texts of 512 characters, each character escaped as a surrogate pair.
pub(super) const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Bodies of this size that are handled at once, so that they don't fill the memory.
pub(super) const MOST_AT_ONCE: usize = 8;

/// Label of a text without an answer.
pub(super) const ERROR: &str = "ERROR";

/// The body as documented; [`Rows`] reads it, as its errors are version 1's.
#[derive(ToSchema)]
#[schema(as = BatchRequest, example = json!({ "texts": ["I love this product", "It broke after two days"] }))]
#[expect(dead_code, reason = "only its shape is used")]
struct Request {
    #[schema(min_items = 1, max_items = 1000)]
    texts: Vec<Text>,
}

#[derive(Serialize, ToSchema)]
struct BatchPrediction<'a> {
    /// In the order of the texts.
    results: Vec<Item>,
    total_results: usize,
    /// Texts without an answer.
    failed_results: usize,
    model_name: &'a str,
    #[schema(example = "onnx")]
    backend: &'static str,
    /// From the first text's admission to the last one's answer.
    total_time_ms: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchItem)]
struct Item {
    /// `ERROR` when there is no answer.
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    prediction_id: Uuid,
    /// Softmax probability of the label; 0 when there is no answer.
    #[schema(minimum = 0, maximum = 1, example = 0.96)]
    score: f32,
    /// Of the model's run that the text was in; 0 for an answer that was kept.
    #[schema(minimum = 0)]
    inference_time_ms: f64,
    /// In characters, without white space around the text.
    text_length: usize,
    /// Whether the model has read only the start of the text, as much as it reads at once.
    truncated: bool,
    /// Whether the answer was kept from an equal text before.
    cached: bool,
    /// The text's place in the request, from 0; only where there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<usize>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// That of a request for this text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^E[0-9]{4}$")]
    error_code: Option<&'static str>,
}

/// The sentiment of up to 1000 texts
///
/// Answered in order in one response. Waits for places in the queue where `/predict` is refused.
#[utoipa::path(
    post, path = "/predict/batch", operation_id = "predict_batch", tag = tags::PREDICTIONS, request_body = Request,
    responses(
        (status = OK, description = "A result for each text", body = BatchPrediction),
        Failures<(Received<MOST_BYTES>, texts::Checking, texts::Classifying)>,
    ),
)]
pub(super) async fn predict_batch(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Received<MOST_BYTES>,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let _place = place(&app)?;
    let longest = app.config.max_text_length;
    let rows = body.read(&app, move |json| parse(json, longest)).await?;
    let serving = texts::serving(&app)?;

    let lengths: Vec<usize> = rows.iter().map(rows::characters).collect();
    let answers: Vec<_> = texts::classify_each(&app, serving, rows, deadline).try_collect().await?;
    let failed_results = answers.iter().filter(|answer| answer.is_err()).count();
    if failed_results == answers.len() {
        return Err(rows::all_of(answers));
    }
    let rows = lengths.into_iter().zip(answers).enumerate();
    let results: Vec<Item> = rows.map(|(index, (length, answer))| item(&app, index, length, answer)).collect();
    let batch = BatchPrediction {
        total_results: results.len(),
        failed_results,
        results,
        model_name: &app.config.model.name,
        backend: BACKEND_NAME,
        total_time_ms: milliseconds(start.elapsed()),
    };
    Ok(Json(batch).into_response())
}

/// One of the places for batches, unless all are taken.
pub(super) fn place(app: &App) -> Result<SemaphorePermit<'_>, ApiError> {
    let taken = |_| ApiError::Overloaded(format!("{MOST_AT_ONCE} batches are being handled already"));
    app.batches.try_acquire().map_err(taken)
}

fn item(app: &App, index: usize, text_length: usize, answer: Result<Answer, Refused>) -> Item {
    match answer {
        Ok(Answer { verdict, truncated, inference, cached }) => Item {
            prediction_id: app.recent.issue(&verdict.label),
            label: verdict.label,
            score: verdict.score,
            inference_time_ms: milliseconds(inference),
            text_length,
            truncated,
            cached,
            index: None,
            error: None,
            error_code: None,
        },
        Err(Refused { error, .. }) => Item {
            prediction_id: Uuid::new_v4(),
            label: ERROR.into(),
            score: 0.0,
            inference_time_ms: 0.0,
            text_length,
            truncated: false,
            cached: false,
            index: Some(index),
            error: Some(error.brief()),
            error_code: Some(error.code()),
        },
    }
}

/// The rows of a body `{"texts": […]}`.
fn parse(json: &str, longest: usize) -> Result<Vec<Row>, ApiError> {
    let mut rows = Rows::new(longest);
    let fields = rows.read(json, [])?;
    rows.finish(&fields)
}
