//! What is counted about Redis.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// What went wrong with a request to Redis.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Failure {
    /// No reply in time.
    Timeout,
    /// The connection failed.
    Connection,
    /// Redis refused.
    Refused,
    /// What was kept is not an answer of this model.
    BadValue,
    /// A reply is none that Redis gives to what is asked, such as one that is too long: the connection was given up.
    BadReply,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Timeout, Self::Connection, Self::Refused, Self::BadValue, Self::BadReply];
}

impl EncodeLabelValue for Failure {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(
            encoder,
            match self {
                Self::Timeout => "timeout",
                Self::Connection => "connection",
                Self::Refused => "refused",
                Self::BadValue => "bad_value",
                Self::BadReply => "bad_reply",
            },
        )
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailureLabels {
    kind: Failure,
}

/// The series about Redis.
#[derive(Debug)]
pub struct RedisSeries {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) bypassed: Counter,
    errors: Family<FailureLabels, Counter>,
    pub(super) writes: Counter,
    pub(super) dropped_writes: Counter,
    pub(in crate::cache) breaker_open: Gauge,
    pub(super) lookup_duration: Histogram,
}

impl Default for RedisSeries {
    fn default() -> Self {
        Self {
            hits: Counter::default(),
            misses: Counter::default(),
            bypassed: Counter::default(),
            errors: Family::default(),
            writes: Counter::default(),
            dropped_writes: Counter::default(),
            breaker_open: Gauge::default(),
            lookup_duration: Histogram::new([0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]),
        }
    }
}

impl RedisSeries {
    pub(super) fn failed(&self, kind: Failure) {
        self.errors.get_or_create(&FailureLabels { kind }).inc();
    }

    /// Adds the series to those of the server.
    pub fn register(&self, all: &mut Registry) {
        // From the start, so that the first failure is a rise from 0 and not a new series.
        for kind in Failure::ALL {
            drop(self.errors.get_or_create(&FailureLabels { kind }));
        }
        all.register("sentiment_redis_hits", "Texts answered from Redis", self.hits.clone());
        all.register("sentiment_redis_misses", "Texts that Redis had no answer to", self.misses.clone());
        let help = "Texts for which Redis was not asked, since it was down or had too much to do";
        all.register("sentiment_redis_bypassed", help, self.bypassed.clone());
        all.register("sentiment_redis_errors", "Requests to Redis that failed", self.errors.clone());
        all.register("sentiment_redis_writes", "Answers that Redis took", self.writes.clone());
        let dropped = self.dropped_writes.clone();
        all.register("sentiment_redis_writes_dropped", "Answers that did not get to Redis", dropped);
        all.register("sentiment_redis_breaker_open", "1 while Redis is not asked", self.breaker_open.clone());
        let lookup = self.lookup_duration.clone();
        all.register("sentiment_redis_lookup_duration_seconds", "Time of one lookup in Redis", lookup);
    }
}
