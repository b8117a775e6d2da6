//! `POST /predict/batch`: up to 1000 texts, answered in order in the same response.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::SemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    error::Location,
    info::BACKEND_NAME,
    openapi::{Failures, tags},
    texts::{self, Text, milliseconds},
};
use crate::cache::Answer;

/// Texts in one request.
pub(super) const MOST_TEXTS: usize = 1000;

/// Largest body: 1000 texts of 512 characters, each character escaped as a surrogate pair.
pub(super) const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Bodies of this size that are handled at once, so that they don't fill the memory.
pub(super) const MOST_AT_ONCE: usize = 8;

/// The body as documented; [`parse`] reads it, as its errors are version 1's.
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
    model_name: &'a str,
    #[schema(example = "onnx")]
    backend: &'static str,
    /// From the first text's admission to the last one's answer.
    total_time_ms: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchItem)]
struct Item {
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    prediction_id: Uuid,
    /// Softmax probability of the label.
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
    Received(body): Received<MOST_BYTES>,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let _place = place(&app)?;
    let texts = parse(&body, app.config.max_text_length)?;
    drop(body);
    let serving = texts::serving(&app)?;

    let lengths: Vec<usize> = texts.iter().map(|text| text.characters).collect();
    let answers = texts::classify_all(&app, serving, texts, deadline).await?;
    let results: Vec<Item> =
        lengths.into_iter().zip(answers).map(|(length, answer)| item(&app, length, answer)).collect();
    let batch = BatchPrediction {
        total_results: results.len(),
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

fn item(app: &App, text_length: usize, Answer { verdict, truncated, inference, cached }: Answer) -> Item {
    Item {
        prediction_id: app.recent.issue(&verdict.label),
        label: verdict.label,
        score: verdict.score,
        inference_time_ms: milliseconds(inference),
        text_length,
        truncated,
        cached,
    }
}

/// The texts of a body `{"texts": […]}`; all problems of them at once.
fn parse(body: &[u8], most: usize) -> Result<Vec<Text>, ApiError> {
    texts(&mut texts::fields(body)?, most)
}

/// The texts of the field `texts`; all problems of them at once.
pub(super) fn texts(fields: &mut Map<String, Value>, most: usize) -> Result<Vec<Text>, ApiError> {
    let texts = match fields.remove("texts") {
        Some(Value::Array(texts)) => texts,
        Some(_) => return Err(ApiError::field("texts", "Input should be a valid list", "list_type")),
        None => return Err(ApiError::field("texts", "Field required", "missing")),
    };
    if texts.is_empty() {
        return Err(ApiError::field("texts", "List should have at least 1 item", "too_short"));
    }
    if texts.len() > MOST_TEXTS {
        let msg = format!("List should have at most {MOST_TEXTS} items, not {}", texts.len());
        return Err(ApiError::field("texts", msg, "too_long"));
    }
    let mut good = Vec::with_capacity(texts.len());
    let mut problems = Vec::new();
    for (index, text) in texts.into_iter().enumerate() {
        let field = [Location::Name("texts"), Location::Index(index)];
        match Text::of(Some(text), &field, most) {
            Ok(text) => good.push(text),
            Err(ApiError::Validation(found)) => problems.extend(found),
            Err(other) => return Err(other),
        }
    }
    if problems.is_empty() { Ok(good) } else { Err(ApiError::Validation(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_every_text_is_named() {
        let Err(ApiError::Validation(problems)) = parse(br#"{"texts":["a","",7," b "]}"#, 9) else {
            panic!("a bad batch was taken");
        };
        let found: Vec<_> = problems.iter().map(|problem| (problem.loc[2].clone(), problem.kind)).collect();
        assert_eq!(found, [(Location::Index(1), "string_too_short"), (Location::Index(2), "string_type")]);
    }

    #[test]
    fn one_to_a_thousand_texts() {
        let body = |count: usize| serde_json::json!({ "texts": vec!["a"; count] }).to_string();
        assert_eq!(parse(body(1000).as_bytes(), 9).unwrap().len(), 1000);
        assert!(parse(body(1001).as_bytes(), 9).is_err());
        assert!(parse(body(0).as_bytes(), 9).is_err());
        assert!(parse(br#"{"texts":"a"}"#, 9).is_err());
        assert!(parse(b"{}", 9).is_err());
    }
}
