//! What the model has done since the start, as Triton's clients read it. Each text counts, whatever it came by and with
//! how many others.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Failures, TAG,
    model_name::{Known, ModelName, Naming},
};
use crate::{http::App, open_inference::VERSION, predict::Tally};

#[derive(Serialize, ToSchema)]
pub(super) struct Statistics {
    #[schema(value_type = Vec<ModelStatistics>)]
    model_stats: [ModelStatistics; 1],
}

#[derive(Serialize, ToSchema)]
struct ModelStatistics {
    name: String,
    #[schema(example = "1")]
    version: &'static str,
    /// The last answer, in milliseconds since 1970; 0 when there was none.
    last_inference: u64,
    /// Texts that were run. Those that were kept from before are no inferences.
    inference_count: u64,
    /// Runs of the model, each of one text or several, warm-up and explanations included.
    execution_count: u64,
    inference_stats: InferenceStatistics,
}

#[derive(Serialize, ToSchema)]
struct InferenceStatistics {
    /// Texts answered.
    success: Duration,
    /// Texts without an answer.
    fail: Duration,
    /// Waiting for a worker.
    queue: Duration,
    /// Making tokens.
    compute_input: Duration,
    /// Running, each text for as long as its batch.
    compute_infer: Duration,
    /// Reading the outputs.
    compute_output: Duration,
    /// Texts answered without a run of their own.
    cache_hit: Duration,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticDuration)]
struct Duration {
    count: u64,
    /// Of all together, in nanoseconds.
    ns: u64,
}

impl From<&Tally> for Duration {
    fn from(tally: &Tally) -> Self {
        Self { count: tally.count(), ns: tally.nanoseconds() }
    }
}

/// What the model has done
#[utoipa::path(
    get, path = "/v2/models/{name}/stats", operation_id = "protocol_statistics", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")),
    responses((status = OK, description = "Counts and times since the start", body = Statistics), Failures<Naming>),
)]
pub(super) async fn model(State(app): State<Arc<App>>, _: Known) -> Json<Statistics> {
    Json(of(&app))
}

/// What all models have done: there is one
#[utoipa::path(
    get, path = "/v2/models/stats", operation_id = "protocol_all_statistics", tag = TAG,
    responses((status = OK, description = "Counts and times since the start", body = Statistics)),
)]
pub(super) async fn all(State(app): State<Arc<App>>) -> Json<Statistics> {
    Json(of(&app))
}

fn of(app: &App) -> Statistics {
    let done = app.predictor.statistics();
    let inference_stats = InferenceStatistics {
        success: (&done.answered).into(),
        fail: (&done.failed).into(),
        queue: (&done.queued).into(),
        compute_input: (&done.tokenized).into(),
        compute_infer: (&done.ran).into(),
        compute_output: (&done.judged).into(),
        cache_hit: (&done.kept).into(),
    };
    let model = ModelStatistics {
        name: app.config.model.name.clone(),
        version: VERSION,
        last_inference: done.last_answer(),
        inference_count: done.ran.count(),
        execution_count: app.predictor.runs(),
        inference_stats,
    };
    Statistics { model_stats: [model] }
}
