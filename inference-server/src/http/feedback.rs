//! `POST /feedback`: what a prediction's label should have been. It becomes a log line and a count.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::{Uuid, Variant};

use super::{
    ApiError, App,
    bodies::Received,
    fields::{self, Fields},
    openapi::{Failing, Failures, tags},
};
use crate::predict::LONGEST_TEXT;
use crate::predict::PredictError;
use model::Head;

/// Largest body: the longest text and the longest comments, each character escaped as a surrogate pair.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// Characters of a user's name or id.
const LONGEST_USER: usize = 256;

/// Labels that are right whatever the model's own are.
const ALWAYS: [&str; 3] = ["POSITIVE", "NEGATIVE", "NEUTRAL"];

/// A checked body.
#[derive(Debug, ToSchema)]
#[schema(as = FeedbackRequest, example = json!({
    "prediction_id": "96d7c911-f640-44b3-82f4-0ad05a41a878", "corrected_label": "NEGATIVE"
}))]
struct Feedback {
    /// As a prediction gave it: a UUID of version 4.
    #[schema(pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$")]
    prediction_id: Uuid,
    /// `POSITIVE`, `NEGATIVE`, `NEUTRAL`, or one of the model's labels.
    corrected_label: String,
    #[schema(max_length = 10_000)]
    text: Option<String>,
    #[schema(minimum = 0, maximum = 1)]
    score: Option<f64>,
    #[schema(max_length = 256)]
    user_id: Option<String>,
    #[schema(max_length = 10_000)]
    comments: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FeedbackAccepted)]
struct Accepted {
    #[schema(example = "success")]
    status: &'static str,
    message: &'static str,
    prediction_id: Uuid,
}

/// How [`Feedback::parse`] and the model's absence fail.
pub(super) struct Judging;

impl Failing for Judging {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::field("prediction_id", "UUID version 4 expected", "uuid_version"), PredictError::NotReady.into()]
    }
}

/// Say what a prediction's label should have been
///
/// Counted by predicted and corrected label, and logged; text, comments and user only where the settings ask for that.
#[utoipa::path(
    post, path = "/feedback", operation_id = "feedback", tag = tags::PREDICTIONS, request_body = Feedback,
    responses(
        (status = CREATED, description = "The feedback is counted and logged", body = Accepted),
        Failures<(Received<MOST_BYTES>, Judging)>,
    ),
)]
pub(super) async fn feedback(State(app): State<Arc<App>>, body: Received<MOST_BYTES>) -> Result<Response, ApiError> {
    let model = app.predictor.served().ok_or(PredictError::NotReady)?;
    let known = Arc::clone(&model);
    let feedback = body.read(&app, move |json: &str| Feedback::parse(json, &known.head)).await?;
    let predicted = model.recent.label(feedback.prediction_id);
    app.metrics.insight.count_feedback(predicted.as_deref(), &feedback.corrected_label);
    feedback.log(predicted.as_deref(), app.config.feedback_log_content);
    let message = "Feedback received";
    let accepted = Accepted { status: "success", message, prediction_id: feedback.prediction_id };
    Ok((StatusCode::CREATED, Json(accepted)).into_response())
}

impl Feedback {
    fn parse(json: &str, head: &Head) -> Result<Self, ApiError> {
        let names = ["prediction_id", "corrected_label", "text", "score", "user_id", "comments"];
        let mut fields = Fields::read(json, names)?;
        let prediction_id = prediction_id(&mut fields);
        let corrected_label = corrected_label(&mut fields, head);
        let text = fields.text("text", LONGEST_TEXT);
        let score = fields.number("score", &(0.0..=1.0));
        let user_id = fields.text("user_id", LONGEST_USER);
        let comments = fields.text("comments", LONGEST_TEXT);
        fields.finish()?;
        match (prediction_id, corrected_label) {
            (Some(prediction_id), Some(corrected_label)) => {
                Ok(Self { prediction_id, corrected_label, text, score, user_id, comments })
            }
            _ => Err(ApiError::Internal("a required field is missing without a problem")),
        }
    }

    /// Text, comments and user may be personal, so they are logged only where that is asked for.
    fn log(&self, predicted: Option<&str>, content: bool) {
        let shown = |value: &Option<String>| value.clone().filter(|_| content);
        tracing::info!(
            prediction_id = %self.prediction_id,
            corrected_label = self.corrected_label,
            predicted_label = predicted,
            score = self.score,
            text = shown(&self.text),
            user_id = shown(&self.user_id),
            comments = shown(&self.comments),
            "feedback"
        );
    }
}

fn prediction_id<const N: usize>(fields: &mut Fields<N>) -> Option<Uuid> {
    const FIELD: &str = "prediction_id";
    let Some(value) = fields.take(FIELD) else {
        return fields.problem(FIELD, "Field required", "missing");
    };
    match fields::string(value, Uuid::parse_str) {
        Ok(Ok(id)) if id.get_version_num() == 4 && id.get_variant() == Variant::RFC4122 => Some(id),
        Ok(Ok(_)) => fields.problem(FIELD, "UUID version 4 expected", "uuid_version"),
        Ok(Err(_)) => fields.problem(FIELD, "Input should be a valid UUID", "uuid_parsing"),
        Err(_) => fields.problem(FIELD, "UUID input should be a string", "uuid_type"),
    }
}

fn corrected_label<const N: usize>(fields: &mut Fields<N>, head: &Head) -> Option<String> {
    const FIELD: &str = "corrected_label";
    let Some(value) = fields.take(FIELD) else {
        return fields.problem(FIELD, "Field required", "missing");
    };
    let known = |name: &str| allowed(head).find(|allowed| *allowed == name).map(str::to_owned);
    fields::string(value, known).ok().flatten().or_else(|| {
        let mut labels: Vec<&str> = allowed(head).collect();
        labels.sort_unstable();
        labels.dedup();
        fields.problem(FIELD, format!("Input should be one of {}", labels.join(", ")), "literal_error")
    })
}

fn allowed(head: &Head) -> impl Iterator<Item = &str> {
    ALWAYS.into_iter().chain(head.names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_feedback_fits_the_body() {
        const { assert!((2 * LONGEST_TEXT + LONGEST_USER) * r"\ud83d\ude00".len() + 512 < MOST_BYTES) }
    }
}
