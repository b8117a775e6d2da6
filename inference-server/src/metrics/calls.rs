//! Series of calls over gRPC.

use std::time::Duration;

use engine::DURATIONS;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

/// Calls over gRPC.
#[derive(Debug)]
pub struct Calls {
    requests: Family<CallLabels, Counter>,
    duration: Family<MethodLabels, Histogram>,
}

impl Calls {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { requests: Family::default(), duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)) }
    }

    /// Adds them to a registry.
    pub fn register(&self, all: &mut Registry) {
        let requests = self.requests.clone();
        all.register("sentiment_grpc_requests", "Calls over gRPC answered; of a stream each message", requests);
        let duration = self.duration.clone();
        all.register("sentiment_grpc_request_duration_seconds", "Time from a call over gRPC to its answer", duration);
    }

    /// Counts an answer with a code by its name.
    pub fn observe(&self, method: &'static str, code: &'static str, took: Duration) {
        self.requests.get_or_create(&CallLabels { method, code }).inc();
        self.duration.get_or_create(&MethodLabels { method }).observe(took.as_secs_f64());
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self::new()
    }
}
