//! `POST /predict` and `POST /`: the labels of a text or several, highest score first.

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Failures, TAG,
    request::{self, HubRequest, Parsed, Parsing, Request, Speaker},
};
use crate::{
    http::{
        ApiError, App,
        deadline::Deadline,
        details::LabelScore,
        texts,
        whole::{self, Body, Place},
    },
    predict::PredictError,
    protocol::Protocol,
};

/// The labels of one text, or of several.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TeiPredictions)]
#[serde(untagged)]
pub(super) enum Predictions {
    One(Vec<LabelScore>),
    Many(Vec<Vec<LabelScore>>),
}

/// The labels of a text or several, as text-embeddings-inference answers
///
/// For a text a list of its labels, highest score first; for a list of lists one such list each. With `parameters` the
/// request is the Hub's, and is answered as at `/`.
#[utoipa::path(
    post, path = "/predict", operation_id = "tei_predict", tag = TAG, request_body = Request,
    responses(
        (status = OK, description = "The labels, highest score first", body = Predictions),
        Failures<(Body, Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Body,
) -> Result<Json<Predictions>, ApiError> {
    read(&app, body, Speaker::Tei, deadline).await
}

/// The labels of a text or several, as the Hub's text classification answers
///
/// For each text a list of its labels, highest score first, also where there is one text.
#[utoipa::path(
    post, path = "/", operation_id = "hub_text_classification", tag = TAG, request_body = HubRequest,
    responses(
        (status = OK, description = "The labels, highest score first", body = Predictions),
        Failures<(Body, Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn hub(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Body,
) -> Result<Json<Predictions>, ApiError> {
    read(&app, body, Speaker::Hub, deadline).await
}

async fn read(app: &App, body: Body, speaker: Speaker, deadline: Instant) -> Result<Json<Predictions>, ApiError> {
    let place = Place::of(app, &body)?;
    let longest = app.config.max_text_length;
    let parsed = body.read(app, move |json| request::parse(json, speaker, longest)).await?;
    answer(app, parsed, place, deadline).await
}

/// Answers a request.
pub(super) async fn answer(
    app: &App,
    parsed: Parsed,
    place: Place<'_>,
    deadline: Instant,
) -> Result<Json<Predictions>, ApiError> {
    let Parsed { texts, is_one, refuses_truncated, activation, top_k } = parsed;
    let model = app.predictor.model()?;
    let answers = whole::predict(app, &model, texts, place, (Protocol::Tei, deadline)).await?;
    let mut lists = Vec::with_capacity(answers.len());
    for (index, answer) in answers.iter().enumerate() {
        if answer.truncated && refuses_truncated {
            let most = model.max_tokens;
            return Err(ApiError::Protocol(format!(
                "text {index}: the model reads at most {most} tokens of it, and truncate is false"
            )));
        }
        let ranked = match activation {
            Some(activation) => model.head.ranked_by(activation, &answer.logits),
            None => model.head.ranked(&answer.logits, top_k),
        };
        let ranked = ranked.ok_or_else(PredictError::broken_output)?;
        lists.push(ranked.into_iter().take(top_k).map(LabelScore::from).collect());
    }
    Ok(Json(match <[Vec<LabelScore>; 1]>::try_from(lists) {
        Ok([list]) if is_one => Predictions::One(list),
        Ok([list]) => Predictions::Many(vec![list]),
        Err(lists) => Predictions::Many(lists),
    }))
}
