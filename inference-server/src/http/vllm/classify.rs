//! `POST /classify`: the probabilities of a text or several.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use model::{Activation, Head, Verdict};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Failures, TAG,
    request::{self, Parsed, Parsing, Request, Speaker},
};
use crate::{
    clock,
    http::{
        ApiError, App,
        deadline::Deadline,
        details::LabelScore,
        openapi::shapes,
        texts,
        whole::{self, Body, Place},
    },
    predict::{PredictError, Prediction, ServedModel, Text},
    protocol::Protocol,
};

#[derive(Serialize, ToSchema)]
struct VllmClassification<'a> {
    #[schema(example = "classify-0d4b3a6c")]
    id: String,
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: &'a str,
    /// In the order of the texts.
    data: Vec<VllmClass>,
    usage: VllmUsage,
}

#[derive(Serialize, ToSchema)]
struct VllmClass {
    index: usize,
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    /// Of every class in its order.
    probs: Vec<f32>,
    num_classes: usize,
}

/// Tokens of the texts, as much as the model reads.
#[derive(Serialize, ToSchema)]
struct VllmUsage {
    prompt_tokens: usize,
    total_tokens: usize,
    /// Always 0: none are made.
    completion_tokens: usize,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    prompt_tokens_details: Option<()>,
}

#[derive(Serialize, ToSchema)]
struct InfinityClassification<'a> {
    /// Always `classify`.
    #[schema(example = "classify")]
    object: &'static str,
    /// The labels of each text, highest score first.
    data: Vec<Vec<LabelScore>>,
    model: &'a str,
    usage: InfinityUsage,
    #[schema(example = "infinity-0d4b3a6c")]
    id: String,
    /// Seconds since 1970.
    created: u64,
}

/// Tokens of the texts, as much as the model reads.
#[derive(Serialize, ToSchema)]
struct InfinityUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

shapes::one_of! {
    /// An answer as documented.
    Classification as "Classification": [
        shapes::named::<VllmClassification>(),
        shapes::named::<InfinityClassification>()
    ] of [VllmClassification, InfinityClassification]
}

/// The probabilities of a text or several
///
/// In vLLM's shape, or with `raw_scores` in Infinity's, whose clients always send it.
#[utoipa::path(
    post, path = "/classify", operation_id = "classify", tag = TAG, request_body = Request,
    responses(
        (status = OK, description = "The probabilities of each text", body = Classification),
        Failures<(Body, Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn classify(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Body,
) -> Result<Response, ApiError> {
    let place = Place::of(&app, &body)?;
    let (longest, name) = (app.config.max_text_length, app.config.model.name.clone());
    let Parsed { texts, speaker, raw } = body.read(&app, move |json| request::parse(json, &name, longest)).await?;
    let model = app.predictor.model()?;
    let (texts, tokens) = count_tokens(&app, &model, texts).await?;
    let answers = whole::predict(&app, &model, texts, place, (Protocol::Vllm, deadline)).await?;
    let (id, created) = (Uuid::new_v4().simple(), clock::whole_unix_seconds());
    let unreadable = || ApiError::from(PredictError::broken_output());
    Ok(match speaker {
        Speaker::Vllm => {
            let class = |(index, answer)| class(&model.head, index, answer, raw);
            let data = answers.iter().enumerate().map(class).collect::<Option<_>>().ok_or_else(unreadable)?;
            let usage = VllmUsage {
                prompt_tokens: tokens,
                total_tokens: tokens,
                completion_tokens: 0,
                prompt_tokens_details: None,
            };
            let (id, object, model) = (format!("classify-{id}"), "list", &*model.name);
            Json(VllmClassification { id, object, created, model, data, usage }).into_response()
        }
        Speaker::Infinity => {
            let labels = |answer| labels(&model.head, answer, raw);
            let data = answers.iter().map(labels).collect::<Option<_>>().ok_or_else(unreadable)?;
            let usage = InfinityUsage { prompt_tokens: tokens, total_tokens: tokens };
            let (id, object, model) = (format!("infinity-{id}"), "classify", &*model.name);
            Json(InfinityClassification { object, data, model, usage, id, created }).into_response()
        }
    })
}

fn class(head: &Head, index: usize, answer: &Prediction, raw: bool) -> Option<VllmClass> {
    let probs = if raw { head.logits(&answer.logits)?.into_owned() } else { head.scores(&answer.logits)? };
    Some(VllmClass { index, label: Arc::clone(&answer.verdict.label), num_classes: probs.len(), probs })
}

fn labels(head: &Head, answer: &Prediction, raw: bool) -> Option<Vec<LabelScore>> {
    let ranked = if raw {
        head.ranked_by(Activation::Identity, &answer.logits)
    } else {
        head.ranked(&answer.logits, usize::MAX)
    };
    ranked.map(|ranked: Vec<Verdict>| ranked.into_iter().map(LabelScore::from).collect())
}

/// How many tokens the model reads of texts. Answers that are kept don't know it, so the texts are tokenized for it,
/// away from the threads that serve HTTP. One that can't be is none here, and its prediction says why.
async fn count_tokens(app: &App, model: &ServedModel, texts: Vec<Text>) -> Result<(Vec<Text>, usize), ApiError> {
    let stopping = |_| ApiError::from(PredictError::Stopping);
    let reader = Arc::clone(&app.readers).acquire_owned().await.map_err(stopping)?;
    let tokenizer = Arc::clone(&model.tokenizer);
    let count = spawn_blocking(move || {
        let _reader = reader;
        let encodings = texts.iter().filter_map(|text| tokenizer.tokenize(&text.as_input()).ok());
        let tokens = encodings.flat_map(|encoding| encoding.windows).map(|window| window.ids.len()).sum();
        (texts, tokens)
    });
    count.await.map_err(|_| ApiError::Internal("the server panicked on the texts"))
}
