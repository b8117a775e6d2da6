//! `POST /predict`: one text.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Bytes,
    extract::{
        State,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ApiError, App, ONE_TEXT_BYTES, Serving,
    error::{Location, ValidationError},
    info::BACKEND_NAME,
};
use crate::{
    engine::{EngineError, Outcome},
    metrics::Rejection,
    model::Verdict,
};

pub(super) const INFERENCE_TIME: HeaderName = HeaderName::from_static("x-inference-time-ms");
pub(super) const BACKEND: HeaderName = HeaderName::from_static("x-model-backend");

/// Longest text of the contract; the settings may allow less.
const LONGEST_TEXT: usize = 10_000;

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the shape is the predecessor's")]
struct Prediction<'a> {
    label: &'a str,
    prediction_id: Uuid,
    score: f32,
    inference_time_ms: f64,
    model_name: &'a str,
    text_length: usize,
    backend: &'static str,
    cached: bool,
    /// The predecessor's extracted features, which its default settings leave empty.
    features: Option<()>,
}

pub(super) async fn predict(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            ApiError::BodyTooLarge(ONE_TEXT_BYTES)
        }
        _ => ApiError::BrokenBody,
    })?;
    let text = parse(&body)?;
    let text = text.trim();
    let characters = check_length(text, app.config.max_text_length)?;
    let serving = app.serving().ok_or_else(|| {
        app.metrics.reject_many(Rejection::NotReady, 1);
        ApiError::ModelLoading
    })?;
    let (verdict, inference) = classify(&app, serving, text.to_owned()).await?;
    app.metrics.observe_prediction(verdict.score, characters);

    let inference_time_ms = milliseconds(inference);
    let prediction = Prediction {
        label: &verdict.label,
        prediction_id: Uuid::new_v4(),
        score: verdict.score,
        inference_time_ms,
        model_name: &app.config.model.name,
        text_length: characters,
        backend: BACKEND_NAME,
        cached: false,
        features: None,
    };
    let mut response = Json(prediction).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&inference_time_ms.to_string()) {
        headers.insert(INFERENCE_TIME, value);
    }
    headers.insert(BACKEND, HeaderValue::from_static(BACKEND_NAME));
    Ok(response)
}

/// The text of a body `{"text": …}`. The content type isn't asked for, as the predecessor's
/// documentation shows calls without it.
fn parse(body: &[u8]) -> Result<String, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let loc = vec![Location::Name("body"), Location::Index(error.column())];
        let msg = format!("JSON decode error: {error}");
        ApiError::Validation(vec![ValidationError { loc, msg, kind: "json_invalid" }])
    })?;
    let Value::Object(mut fields) = value else {
        let loc = vec![Location::Name("body")];
        let msg = "Input should be a JSON object".to_owned();
        return Err(ApiError::Validation(vec![ValidationError { loc, msg, kind: "model_attributes_type" }]));
    };
    match fields.remove("text") {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ApiError::field("text", "Input should be a valid string", "string_type")),
        None => Err(ApiError::field("text", "Field required", "missing")),
    }
}

/// Characters of the text, if they are as many as may be.
fn check_length(text: &str, most: usize) -> Result<usize, ApiError> {
    let characters = text.chars().count();
    match characters {
        0 => Err(ApiError::field("text", "String should have at least 1 character", "string_too_short")),
        _ if characters > LONGEST_TEXT => {
            let msg = format!("String should have at most {LONGEST_TEXT} characters");
            Err(ApiError::field("text", msg, "string_too_long"))
        }
        _ if characters > most => Err(ApiError::TextTooLong { characters, most }),
        _ => Ok(characters),
    }
}

/// Runs a text. Dropping the future withdraws it.
async fn classify(app: &App, serving: &Serving, text: String) -> Result<(Verdict, Duration), ApiError> {
    let limit = app.config.request_timeout;
    let outcome = serving.engine.classify(text, Instant::now() + limit).await;
    let Outcome { logits, inference } = outcome.map_err(|error| match error {
        EngineError::Expired => ApiError::TimedOut(limit.as_secs()),
        EngineError::Full { .. } => {
            app.metrics.reject_many(Rejection::QueueFull, 1);
            ApiError::Overloaded(error.to_string())
        }
        EngineError::Tokenizer(_) => ApiError::Text(error.to_string()),
        EngineError::Model(_) => ApiError::Model(error.to_string()),
        EngineError::Stopped => ApiError::Stopping,
    })?;
    let verdict = serving
        .labels
        .judge(&logits)
        .ok_or_else(|| ApiError::Model("the model's output is not one finite number a label".to_owned()))?;
    Ok((verdict, inference))
}

/// To a thousandth, which is finer than the clock is steady.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: ApiError) -> &'static str {
        match error {
            ApiError::Validation(errors) => errors[0].kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(parse(br#"{"text":"a \ud83d\ude00","more":1}"#).unwrap(), "a 😀");
        for (body, expected) in [
            (&b""[..], "json_invalid"),
            (b"{", "json_invalid"),
            (b"\xff\xfe", "json_invalid"),
            (b"{\"text\":\"\xff\"}", "json_invalid"),
            (br#"{"text":"\ud83d"}"#, "json_invalid"),
            (br#"["text"]"#, "model_attributes_type"),
            (br#"{"Text":"a"}"#, "missing"),
            (br#"{"text":null}"#, "string_type"),
            (br#"{"text":7}"#, "string_type"),
        ] {
            assert_eq!(kind(parse(body).unwrap_err()), expected, "{}", String::from_utf8_lossy(body));
        }
        let deep = format!("{{\"text\":{}", "[".repeat(100_000));
        assert_eq!(kind(parse(deep.as_bytes()).unwrap_err()), "json_invalid");
    }

    #[test]
    fn lengths_are_in_characters() {
        assert_eq!(check_length("é😀", 2), Ok(2));
        assert_eq!(check_length("abc", 2), Err(ApiError::TextTooLong { characters: 3, most: 2 }));
        assert_eq!(kind(check_length("", 2).unwrap_err()), "string_too_short");
        assert_eq!(kind(check_length(&"a".repeat(10_001), 2).unwrap_err()), "string_too_long");
    }

    #[test]
    fn the_largest_text_fits_the_body_limit() {
        assert!(LONGEST_TEXT * r"\ud83d\ude00".len() + 64 < ONE_TEXT_BYTES);
    }
}
