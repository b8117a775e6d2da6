//! Prometheus series of batch jobs.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{Priority, Refusal, Status};

impl EncodeLabelValue for Priority {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueLabels {
    priority: Priority,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    priority: Priority,
    status: Status,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TextLabels {
    outcome: &'static str,
}

/// The series; clones share them.
#[derive(Clone, Debug)]
pub struct JobMetrics {
    submitted: Family<QueueLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    queued: Family<QueueLabels, Gauge>,
    processing: Gauge,
    held_bytes: Gauge,
    texts: Family<TextLabels, Counter>,
    duration: Family<QueueLabels, Histogram>,
}

impl JobMetrics {
    /// The series at zero, added to a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let series = Self {
            submitted: Family::default(),
            ended: Family::default(),
            refused: Family::default(),
            queued: Family::default(),
            processing: Gauge::default(),
            held_bytes: Gauge::default(),
            texts: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
        };
        let all = registry;
        all.register("sentiment_batch_jobs_submitted", "Batch jobs that were taken", series.submitted.clone());
        all.register("sentiment_batch_jobs_ended", "Batch jobs that came to an end", series.ended.clone());
        all.register("sentiment_batch_jobs_refused", "Batch jobs that were not taken", series.refused.clone());
        let queued = series.queued.clone();
        all.register("sentiment_batch_jobs_queued", "Batch jobs that wait for their first text's run", queued);
        let processing = series.processing.clone();
        all.register("sentiment_batch_jobs_processing", "Batch jobs whose texts are run", processing);
        let held = series.held_bytes.clone();
        all.register("sentiment_batch_jobs_held_bytes", "Memory of texts and results of batch jobs", held);
        all.register("sentiment_batch_jobs_texts", "Texts of batch jobs that were run", series.texts.clone());
        let duration = series.duration.clone();
        all.register("sentiment_batch_jobs_duration_seconds", "Time from submission to completion", duration);
        // From the start, so that what never was is 0 and not missing, and the first time is a rise.
        for priority in Priority::ALL {
            series.set_queued(priority, 0);
        }
        for reason in Refusal::REASONS {
            drop(series.refused.get_or_create(&RefusalLabels { reason }));
        }
        series
    }

    pub(super) fn submit(&self, priority: Priority) {
        self.submitted.get_or_create(&QueueLabels { priority }).inc();
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.refused.get_or_create(&RefusalLabels { reason: refusal.reason() }).inc();
    }

    pub(super) fn count_text(&self, answered: bool) {
        let outcome = if answered { "answered" } else { "failed" };
        self.texts.get_or_create(&TextLabels { outcome }).inc();
    }

    /// `seconds` from submission to the end.
    pub(super) fn end(&self, priority: Priority, status: Status, seconds: f64) {
        self.ended.get_or_create(&EndLabels { priority, status }).inc();
        if status == Status::Completed {
            self.duration.get_or_create(&QueueLabels { priority }).observe(seconds);
        }
    }

    pub(super) fn set_queued(&self, priority: Priority, jobs: usize) {
        self.queued.get_or_create(&QueueLabels { priority }).set(to_i64(jobs));
    }

    pub(super) fn set_held(&self, processing: usize, bytes: usize) {
        self.processing.set(to_i64(processing));
        self.held_bytes.set(to_i64(bytes));
    }
}

/// Bounds in seconds, up to the longest time that a job may be given.
const DURATIONS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
