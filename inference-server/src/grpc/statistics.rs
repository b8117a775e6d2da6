//! What has been answered over gRPC since the start, as Triton counts it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{
    model::VERSION,
    proto::{InferStatistics, ModelStatistics, StatisticDuration},
};
use crate::{clock, predict::Prediction};

/// The sums.
#[derive(Default)]
pub(super) struct Statistics(Mutex<Sums>);

#[derive(Clone, Default)]
struct Sums {
    success: Sum,
    fail: Sum,
    runs: Sum,
    kept: Sum,
    texts: u64,
    last_inference: u64,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    time: Duration,
}

impl Sum {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

impl From<Sum> for StatisticDuration {
    fn from(sum: Sum) -> Self {
        Self { count: sum.count, ns: u64::try_from(sum.time.as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl Statistics {
    /// Counts the predictions of an answer.
    pub(super) fn predicted(&self, predictions: &[Prediction]) {
        self.change(|sums| {
            for prediction in predictions {
                sums.texts += 1;
                if prediction.cached { &mut sums.kept } else { &mut sums.runs }.add(prediction.inference);
            }
            let now = Duration::try_from_secs_f64(clock::unix_seconds()).unwrap_or_default();
            sums.last_inference = u64::try_from(now.as_millis()).unwrap_or_default();
        });
    }

    /// Counts a request.
    pub(super) fn ended(&self, is_success: bool, took: Duration) {
        self.change(|sums| if is_success { &mut sums.success } else { &mut sums.fail }.add(took));
    }

    /// The sums under the model's name.
    pub(super) fn of(&self, name: &str) -> ModelStatistics {
        let Sums { success, fail, runs, kept, texts, last_inference } =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ModelStatistics {
            name: name.to_owned(),
            version: VERSION.to_owned(),
            last_inference,
            inference_count: texts,
            execution_count: runs.count,
            inference_stats: Some(InferStatistics {
                success: Some(success.into()),
                fail: Some(fail.into()),
                compute_infer: Some(runs.into()),
                cache_hit: Some(kept.into()),
            }),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Sums)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
