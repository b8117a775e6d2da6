//! `POST /predict`: one text.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    details::{Details, Wanted},
    fields::Fields,
    info::BACKEND_NAME,
    openapi::{Failures, tags},
    texts::{self, TextSchema, milliseconds},
};
use crate::predict::{Call, Text, WhenFull};
use crate::protocol::Protocol;

pub(super) const INFERENCE_TIME: HeaderName = HeaderName::from_static("x-inference-time-ms");
pub(super) const BACKEND: HeaderName = HeaderName::from_static("x-model-backend");

/// Largest body: the longest text, each character escaped as a surrogate pair.
pub(super) const MOST_BYTES: usize = 128 * 1024;

/// The body as documented; [`read`] reads it, as its errors are version 1's.
#[derive(ToSchema)]
#[schema(as = PredictRequest, example = json!({ "text": "I love this product" }))]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Request {
    text: TextSchema,
    /// A text that goes with it, for models that read pairs.
    text_pair: Option<TextSchema>,
    /// Answers the labels with the highest scores too, so many of them.
    #[schema(minimum = 1, maximum = 10_000)]
    top_k: Option<u16>,
    /// Answers the scores of all labels too.
    all: Option<bool>,
    /// Answers the model's raw outputs too.
    logits: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the shape is the predecessor's")]
pub(super) struct Prediction<'a> {
    /// One of the model's labels, or `NEUTRAL` when `MLOPS_NEUTRAL_BAND` is set and the score is below it.
    #[schema(example = "POSITIVE")]
    label: &'a str,
    prediction_id: Uuid,
    /// Probability of the label; of a regression the number itself.
    #[schema(example = 0.96)]
    score: f32,
    /// Of the model's run that the text was in; 0 for an answer that was kept.
    #[schema(minimum = 0)]
    inference_time_ms: f64,
    model_name: &'a str,
    /// In characters, without white space around the text.
    text_length: usize,
    #[schema(example = "onnx")]
    backend: &'static str,
    /// Whether the model has read only the start of the text, as much as it reads at once.
    truncated: bool,
    /// Whether the answer was kept from an equal text before.
    cached: bool,
    /// Always null: kept from version 1, whose default settings left it empty.
    #[schema(value_type = Option<Object>)]
    features: Option<()>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// The sentiment of one text
#[utoipa::path(
    post, path = "/predict", operation_id = "predict", tag = tags::PREDICTIONS, request_body = Request,
    responses(
        (
            status = OK, description = "The label and its score", body = Prediction,
            headers(
                ("X-Inference-Time-MS" = f64, description = "As in the body"),
                ("X-Model-Backend" = String, description = "As in the body"),
            ),
        ),
        Failures<(Received<MOST_BYTES>, texts::Checking, texts::Predicting)>,
    ),
)]
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Received<MOST_BYTES>,
) -> Result<Response, ApiError> {
    let most = app.config.max_text_length;
    let asked = body.read(&app, move |json| read(json, most)).await?;
    answer(&app, asked, deadline).await
}

/// A text, and what is wanted beside its label.
pub(super) type Asked = (Text, Wanted);

/// Answers a request.
pub(super) async fn answer(app: &App, (text, wanted): Asked, deadline: Instant) -> Result<Response, ApiError> {
    let model = app.predictor.model()?;
    let call = Call { protocol: Protocol::Native, deadline, when_full: WhenFull::Refuse };
    let answer = app.predictor.predict(&model, text, call).await?;

    let inference_time_ms = milliseconds(answer.inference);
    let prediction = Prediction {
        label: &answer.verdict.label,
        prediction_id: answer.id,
        score: answer.verdict.score,
        inference_time_ms,
        model_name: &model.name,
        text_length: answer.characters,
        backend: BACKEND_NAME,
        truncated: answer.truncated,
        cached: answer.cached,
        features: None,
        details: Details::of(&model.head, &answer, wanted),
    };
    let mut response = Json(prediction).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&inference_time_ms.to_string()) {
        headers.insert(INFERENCE_TIME, value);
    }
    headers.insert(BACKEND, HeaderValue::from_static(BACKEND_NAME));
    Ok(response)
}

/// Reads a body with a text of at most so many characters.
pub(super) fn read(json: &str, most: usize) -> Result<Asked, ApiError> {
    let mut fields = Fields::read(json, ["text", "text_pair", "top_k", "all", "logits"])?;
    let text = texts::read(&mut fields, most);
    let text = fields.check(text)?;
    let pair = texts::pair(&mut fields, most);
    let pair = fields.check(pair)?.flatten();
    let wanted = Wanted::read(&mut fields);
    fields.finish()?;
    let text = text.ok_or(ApiError::Internal("the text is missing without a problem"))?;
    Ok((text.with_pair(pair), wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::LONGEST_TEXT;

    #[test]
    fn the_longest_text_fits_the_body() {
        const { assert!(LONGEST_TEXT * r"\ud83d\ude00".len() + 64 < MOST_BYTES) }
    }
}
