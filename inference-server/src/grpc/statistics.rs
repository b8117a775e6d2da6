//! What the model has done since the start, in Triton's words. Texts are counted, of every protocol.

use super::proto::{InferStatistics, ModelStatistics, StatisticDuration};
use crate::{http::App, open_inference::VERSION, predict::Tally};

impl From<&Tally> for StatisticDuration {
    fn from(tally: &Tally) -> Self {
        Self { count: tally.count(), ns: tally.nanoseconds() }
    }
}

/// The counts and times under the model's name.
pub(super) fn of(app: &App, name: &str) -> ModelStatistics {
    let done = app.predictor.statistics();
    ModelStatistics {
        name: name.to_owned(),
        version: VERSION.to_owned(),
        last_inference: done.last_answer(),
        inference_count: done.ran.count(),
        execution_count: app.predictor.runs(),
        inference_stats: Some(InferStatistics {
            success: Some((&done.answered).into()),
            fail: Some((&done.failed).into()),
            queue: Some((&done.queued).into()),
            compute_input: Some((&done.tokenized).into()),
            compute_infer: Some((&done.ran).into()),
            compute_output: Some((&done.judged).into()),
            cache_hit: Some((&done.kept).into()),
        }),
    }
}
