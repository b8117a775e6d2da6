//! `POST /predict/batch`: up to 1000 texts, answered in order in the same response.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use model::Head;
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    details::{Details, Wanted},
    info::BACKEND_NAME,
    openapi::{Failures, tags},
    rows::{self, Row, Rows},
    texts::{self, Refused, TextSchema, milliseconds},
};
use crate::predict::{Call, Prediction, WhenFull};
use crate::protocol::Protocol;

/// Largest body: 1000 texts of 512 characters, each character escaped as a surrogate pair.
pub(crate) const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Label of a text without an answer.
pub(super) const ERROR: &str = "ERROR";

/// The body as documented; [`Rows`] reads it, as its errors are version 1's.
#[derive(ToSchema)]
#[schema(as = BatchRequest, example = json!({ "texts": ["I love this product", "It broke after two days"] }))]
#[expect(dead_code, reason = "only its shape is used")]
struct Request {
    #[schema(min_items = 1, max_items = 1000)]
    texts: Vec<TextSchema>,
    /// As for one text.
    #[schema(minimum = 1, maximum = 10_000)]
    top_k: Option<u16>,
    /// As for one text.
    all: Option<bool>,
    /// As for one text.
    logits: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct BatchPrediction<'a> {
    /// In the order of the texts.
    results: Vec<Item<'a>>,
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
struct Item<'a> {
    /// `ERROR` when there is no answer.
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    prediction_id: Uuid,
    /// Probability of the label; 0 when there is no answer, and of a regression the number itself.
    #[schema(example = 0.96)]
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
    #[serde(flatten)]
    details: Option<Details<'a>>,
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
        Failures<(Received<MOST_BYTES>, texts::Checking, texts::Predicting)>,
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
    let (rows, wanted) = body.read(&app, move |json| parse(json, longest)).await?;
    let model = app.predictor.model()?;
    let call = Call { protocol: Protocol::Native, deadline, when_full: WhenFull::Wait };
    let answers = rows::predict(&app.predictor, &model, rows, call).await?;
    let failed_results = answers.iter().filter(|answer| answer.is_err()).count();
    if failed_results == answers.len() {
        return Err(rows::all_of(answers));
    }
    let rows = answers.iter().enumerate();
    let results: Vec<Item> = rows.map(|(index, answer)| item(&model.head, index, answer, wanted)).collect();
    let batch = BatchPrediction {
        total_results: results.len(),
        failed_results,
        results,
        model_name: &model.name,
        backend: BACKEND_NAME,
        total_time_ms: milliseconds(start.elapsed()),
    };
    Ok(Json(batch).into_response())
}

/// One of the places for batches, unless all are taken.
pub(super) fn place(app: &App) -> Result<SemaphorePermit<'_>, ApiError> {
    app.batches.enter().map_err(|taken| ApiError::Overloaded(taken.to_string()))
}

fn item<'a>(head: &Head, index: usize, answer: &'a Result<Prediction, Refused>, wanted: Wanted) -> Item<'a> {
    match answer {
        Ok(answer) => Item {
            prediction_id: answer.id,
            label: Arc::clone(&answer.verdict.label),
            score: answer.verdict.score,
            inference_time_ms: milliseconds(answer.inference),
            text_length: answer.characters,
            truncated: answer.truncated,
            cached: answer.cached,
            details: Some(Details::of(head, answer, wanted)),
            index: None,
            error: None,
            error_code: None,
        },
        Err(Refused { characters, error }) => Item {
            prediction_id: Uuid::new_v4(),
            label: ERROR.into(),
            score: 0.0,
            inference_time_ms: 0.0,
            text_length: *characters,
            truncated: false,
            cached: false,
            details: None,
            index: Some(index),
            error: Some(error.brief()),
            error_code: Some(error.code()),
        },
    }
}

/// The rows of a body `{"texts": […]}`, and what is wanted of each.
fn parse(json: &str, longest: usize) -> Result<(Vec<Row>, Wanted), ApiError> {
    let mut rows = Rows::new(longest);
    let mut fields = rows.read(json, ["top_k", "all", "logits"])?;
    let wanted = Wanted::read(&mut fields);
    let rows = rows.finish(&fields);
    let rows = fields.check(rows)?;
    fields.finish()?;
    Ok((rows.ok_or(ApiError::Internal("the texts are missing without a problem"))?, wanted))
}
