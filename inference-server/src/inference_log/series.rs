//! Series of the inference log.

use std::fmt::{self, Write};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What became of a record.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written,
    /// The queue was full.
    Dropped,
    /// The destination refused it, or the process ended before it was taken.
    Failed,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Written, Self::Dropped, Self::Failed];
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Written => "written",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RecordLabels {
    destination: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DestinationLabels {
    destination: &'static str,
}

/// The inference log.
#[derive(Debug, Default)]
pub struct Series {
    records: Family<RecordLabels, Counter>,
    waiting: Family<DestinationLabels, Gauge>,
}

impl Series {
    /// Adds them to a registry.
    pub fn register(&self, all: &mut Registry) {
        let records = self.records.clone();
        all.register(
            "sentiment_inference_log_records",
            "Records of the inference log, by what became of them",
            records,
        );
        let waiting = self.waiting.clone();
        all.register("sentiment_inference_log_waiting", "Records that wait to be written", waiting);
    }

    /// Has a series for each outcome, so that the first drop is a rise from 0.
    pub(super) fn begin(&self, destination: &'static str) {
        for outcome in Outcome::ALL {
            drop(self.records.get_or_create(&RecordLabels { destination, outcome }));
        }
        self.set_waiting(destination, 0);
    }

    pub(super) fn count(&self, destination: &'static str, outcome: Outcome) {
        self.records.get_or_create(&RecordLabels { destination, outcome }).inc();
    }

    pub(super) fn set_waiting(&self, destination: &'static str, records: usize) {
        let waiting = i64::try_from(records).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&DestinationLabels { destination }).set(waiting);
    }

    /// Records with an outcome so far.
    #[must_use]
    pub fn records(&self, destination: &'static str, outcome: Outcome) -> u64 {
        self.records.get_or_create(&RecordLabels { destination, outcome }).get()
    }
}
