//! Series of the queue and the runs.

use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Bounds in seconds: one short text on a fast CPU up to the longest request time-out in use.
pub const DURATIONS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Why a text was not run.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Rejection {
    /// The queue was full.
    QueueFull,
    /// It would have waited for too long.
    QueueWait,
    /// Its request hadn't enough time left.
    NoTime,
    /// Its deadline passed.
    Expired,
    /// Its client had gone.
    Abandoned,
    /// The model was not loaded yet.
    NotReady,
}

impl Rejection {
    const ALL: [Self; 6] =
        [Self::QueueFull, Self::QueueWait, Self::NoTime, Self::Expired, Self::Abandoned, Self::NotReady];
}

impl EncodeLabelValue for Rejection {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::QueueFull => "queue_full",
            Self::QueueWait => "queue_wait",
            Self::NoTime => "no_time",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::NotReady => "not_ready",
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RejectionLabels {
    reason: Rejection,
}

/// The queue and the runs.
#[derive(Debug)]
pub struct Series {
    /// Texts that wait for a worker.
    pub queue_depth: Gauge,
    inference_duration: Histogram,
    batch_size: Histogram,
    tokens: Counter,
    padding: Counter,
    rejected: Family<RejectionLabels, Counter>,
    /// As the histograms count, which can't be read.
    runs: AtomicU64,
}

impl Series {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let rejected = Family::default();
        // From the start, so that the first rejection is a rise from 0 and not a new series.
        for reason in Rejection::ALL {
            drop(rejected.get_or_create(&RejectionLabels { reason }));
        }
        Self {
            queue_depth: Gauge::default(),
            inference_duration: Histogram::new(DURATIONS),
            batch_size: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
            tokens: Counter::default(),
            padding: Counter::default(),
            rejected,
            runs: AtomicU64::new(0),
        }
    }

    /// Adds them to a registry.
    pub fn register(&self, all: &mut Registry) {
        let inference = self.inference_duration.clone();
        all.register("sentiment_inference_duration_seconds", "Time of one run of the model", inference);
        all.register("sentiment_queue_depth", "Texts that wait for a worker", self.queue_depth.clone());
        all.register("sentiment_batch_size", "Texts in one run of the model", self.batch_size.clone());
        all.register("sentiment_tokens", "Tokens run through the model", self.tokens.clone());
        let padding = self.padding.clone();
        all.register("sentiment_padding_tokens", "Padding run beside those tokens", padding);
        all.register("sentiment_rejected", "Texts that were not run", self.rejected.clone());
    }

    /// Counts a run of the model.
    pub fn observe_batch(&self, texts: usize, tokens: usize, padding: usize, took: Duration) {
        self.runs.fetch_add(1, Relaxed);
        self.inference_duration.observe(took.as_secs_f64());
        self.batch_size.observe(u32::try_from(texts).map_or(f64::from(u32::MAX), f64::from));
        self.tokens.inc_by(tokens as u64);
        self.padding.inc_by(padding as u64);
    }

    /// Runs of the model since the start.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.load(Relaxed)
    }

    /// Counts texts that were not run.
    pub fn reject_many(&self, reason: Rejection, texts: usize) {
        if texts > 0 {
            self.rejected.get_or_create(&RejectionLabels { reason }).inc_by(texts as u64);
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl Series {
    pub(crate) fn render(&self) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }
}
