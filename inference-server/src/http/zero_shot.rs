//! `POST /predict/zero-shot`: labels of a caller's own, for models of natural language inference.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{
    Serialize,
    de::{DeserializeSeed, Error, SeqAccess},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    details::LabelScore,
    elements::{Elements, ListOf},
    error::Location,
    fields::Fields,
    info::BACKEND_NAME,
    openapi::{Failing, Failures, tags},
    predict, predict_batch,
    texts::{self, TextSchema, milliseconds},
};
use crate::{
    predict::{Call, Candidates, MOST_CANDIDATES, PredictError, Text, WhenFull},
    protocol::Protocol,
};

/// What a candidate is put into, unless the caller says otherwise: as transformers.
const TEMPLATE: &str = "This example is {}.";

/// Longest template and longest candidate in characters.
const LONGEST: usize = 1000;

const CANDIDATES: &str = "candidate_labels";

/// The body as documented; [`read`] reads it.
#[derive(ToSchema)]
#[schema(as = ZeroShotRequest, example = json!({
    "text": "The battery lasts all day", "candidate_labels": ["power", "screen", "delivery"]
}))]
#[expect(dead_code, reason = "only its shape is used")]
struct Request {
    text: TextSchema,
    /// What the text may be about.
    #[schema(min_items = 1, max_items = 100)]
    candidate_labels: Vec<TextSchema>,
    /// What each candidate is put into, in the place of `{}`.
    #[schema(max_length = 1000, pattern = "\\{\\}", default = "This example is {}.")]
    hypothesis_template: Option<String>,
    /// Whether more than one candidate may hold: then each score is a probability by itself.
    #[schema(default = false)]
    multi_label: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ZeroShotPrediction)]
struct Answer<'a> {
    /// The candidate with the highest score.
    #[schema(value_type = String, example = "power")]
    label: Arc<str>,
    prediction_id: Uuid,
    #[schema(minimum = 0, maximum = 1, example = 0.93)]
    score: f32,
    /// Every candidate, highest score first.
    scores: Vec<LabelScore>,
    /// Of the longest run that a candidate was in; 0 for an answer that was kept.
    #[schema(minimum = 0)]
    inference_time_ms: f64,
    model_name: &'a str,
    text_length: usize,
    #[schema(example = "onnx")]
    backend: &'static str,
    truncated: bool,
    cached: bool,
}

/// How a model can be unfit for candidates.
pub(super) struct Judging;

impl Failing for Judging {
    fn failures() -> Vec<ApiError> {
        vec![PredictError::NoEntailment.into()]
    }
}

/// Which of a caller's own labels a text has
///
/// For models of natural language inference: each label is put into a hypothesis, and scored by how much it follows from
/// the text. Takes one of the places for batches.
#[utoipa::path(
    post, path = "/predict/zero-shot", operation_id = "predict_zero_shot", tag = tags::PREDICTIONS, request_body = Request,
    responses(
        (status = OK, description = "The candidates and their scores", body = Answer),
        Failures<((Received<{ predict::MOST_BYTES }>, texts::Checking), texts::Predicting, Judging)>,
    ),
)]
pub(super) async fn zero_shot(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Received<{ predict::MOST_BYTES }>,
) -> Result<Response, ApiError> {
    let most = app.config.max_text_length;
    let (text, candidates) = body.read(&app, move |json| read(json, most)).await?;
    let model = app.predictor.model()?;
    let _place = predict_batch::place(&app)?;
    let call = Call { protocol: Protocol::Native, deadline, when_full: WhenFull::Wait };
    let (answer, scores) = app.predictor.zero_shot(&model, &text, &candidates, call).await?;
    let answer = Answer {
        label: answer.verdict.label,
        prediction_id: answer.id,
        score: answer.verdict.score,
        scores: scores.into_iter().map(LabelScore::from).collect(),
        inference_time_ms: milliseconds(answer.inference),
        model_name: &model.name,
        text_length: answer.characters,
        backend: BACKEND_NAME,
        truncated: answer.truncated,
        cached: answer.cached,
    };
    Ok(Json(answer).into_response())
}

/// The text and the candidates of a body; all problems at once.
fn read(json: &str, most: usize) -> Result<(Text, Candidates), ApiError> {
    const TEMPLATE_FIELD: &str = "hypothesis_template";
    let mut fields = Fields::read(json, ["text", CANDIDATES, TEMPLATE_FIELD, "multi_label"])?;
    let text = texts::read(&mut fields, most);
    let text = fields.check(text)?;
    let labels = match fields.take(CANDIDATES) {
        Some(value) => {
            let mut labels = Labels::default();
            // Only an error of its own stops the reading of what was found to be JSON.
            let _ = ListOf(&mut labels).deserialize(&mut serde_json::Deserializer::from_str(value.get()));
            labels.finish()
        }
        None => Err(fields.missing(CANDIDATES)),
    };
    let labels = fields.check(labels)?;
    let template = fields.text(TEMPLATE_FIELD, LONGEST).unwrap_or_else(|| TEMPLATE.to_owned());
    if !template.contains("{}") {
        fields.problem::<()>(TEMPLATE_FIELD, "String should have {} where a label goes", "string_pattern_mismatch");
    }
    let several = fields.boolean("multi_label").unwrap_or_default();
    fields.finish()?;
    match (text, labels) {
        (Some(text), Some(labels)) => Ok((text, Candidates { labels, template, several })),
        _ => Err(ApiError::Internal("a required field is missing without a problem")),
    }
}

/// Reads the list of candidates. It stops at the first that is none, or too much.
#[derive(Default)]
struct Labels {
    read: Vec<String>,
    refused: Option<ApiError>,
}

impl Labels {
    fn finish(self) -> Result<Vec<String>, ApiError> {
        match self.refused {
            Some(error) => Err(error),
            None if self.read.is_empty() => {
                Err(ApiError::field(CANDIDATES, "List should have at least 1 item", "too_short"))
            }
            None => Ok(self.read),
        }
    }

    fn refuse<E: Error>(&mut self, error: ApiError) -> E {
        self.refused = Some(error);
        E::custom("refused")
    }
}

impl<'de> Elements<'de> for Labels {
    fn begin(&mut self) {}

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(value) = list.next_element()? else { return Ok(false) };
        if self.read.len() == MOST_CANDIDATES {
            let msg = format!("List should have at most {MOST_CANDIDATES} items");
            return Err(self.refuse(ApiError::field(CANDIDATES, msg, "too_long")));
        }
        let field = [Location::Name(CANDIDATES), Location::Index(self.read.len())];
        match texts::of(value, &field, LONGEST) {
            Ok(label) => self.read.push(label.content),
            Err(refused) => return Err(self.refuse(refused.error)),
        }
        Ok(true)
    }

    fn string(&mut self, _: &str) {
        self.other();
    }

    fn other(&mut self) {
        self.refused = Some(ApiError::field(CANDIDATES, "Input should be a valid list", "list_type"));
    }
}
