//! Prometheus series. The first seven are the predecessor's, names and labels included.

mod access;
mod insight;
mod usage;

use std::{
    fmt::{self, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{cache::RedisSeries, drift::Report, jobs::JobMetrics};
pub use access::{Access, KeyFailure, LimitReason};
pub use insight::Insight;

/// Content type of the text that [`Metrics::render`] makes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of `sentiment_requests_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    endpoint: String,
    method: String,
    status_code: u16,
}

/// Labels of `sentiment_request_duration_seconds`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    endpoint: String,
    method: String,
}

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

/// Why a connection is not served as others are.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// All places were taken, by none that could make place. On such a one only probes are answered.
    Limit,
    /// The head of a request took too long.
    HeadTimeout,
    /// The client got through no TLS handshake in time.
    Handshake,
}

impl ConnectionRefusal {
    const ALL: [Self; 3] = [Self::Limit, Self::HeadTimeout, Self::Handshake];
}

impl EncodeLabelValue for ConnectionRefusal {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Limit => "limit",
            Self::HeadTimeout => "head_timeout",
            Self::Handshake => "handshake",
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ConnectionLabels {
    reason: ConnectionRefusal,
}

/// All series of the server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<DurationLabels, Histogram>,
    /// Requests being handled now.
    pub active_requests: Gauge,
    /// Connections open now.
    pub open_connections: Gauge,
    refused_connections: Family<ConnectionLabels, Counter>,
    model_loaded: Gauge,
    inference_duration: Histogram,
    prediction_score: Histogram,
    text_length: Histogram,
    /// Predictions on the start of a text alone.
    pub texts_truncated: Counter,
    /// Texts that wait for a worker.
    pub queue_depth: Gauge,
    batch_size: Histogram,
    tokens: Counter,
    padding: Counter,
    rejected: Family<RejectionLabels, Counter>,
    /// Texts whose answer was kept from before.
    pub cache_hits: Counter,
    /// Texts that the cache was asked for and that were run.
    pub cache_misses: Counter,
    /// Texts that were answered by the run of an equal one.
    pub cache_shared: Counter,
    /// The cache's second level.
    pub redis: RedisSeries,
    /// API keys, and the files of secrets.
    pub access: Access,
    /// Drift and feedback.
    pub insight: Insight,
    /// Held while a comparison is shown and written, so that two scrapes at once don't mix theirs.
    showing: Mutex<()>,
    /// Series of batch jobs.
    pub jobs: JobMetrics,
}

impl Metrics {
    /// All series at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let mut metrics = Self {
            jobs: JobMetrics::register(&mut registry),
            registry,
            requests: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            active_requests: Gauge::default(),
            open_connections: Gauge::default(),
            refused_connections: Family::default(),
            model_loaded: Gauge::default(),
            inference_duration: Histogram::new(DURATIONS),
            prediction_score: Histogram::new([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]),
            text_length: Histogram::new([10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0]),
            texts_truncated: Counter::default(),
            queue_depth: Gauge::default(),
            batch_size: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
            tokens: Counter::default(),
            padding: Counter::default(),
            rejected: Family::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_shared: Counter::default(),
            redis: RedisSeries::default(),
            access: Access::default(),
            insight: Insight::default(),
            showing: Mutex::default(),
        };
        // From the start, so that the first rejection is a rise from 0 and not a new series.
        for reason in Rejection::ALL {
            drop(metrics.rejected.get_or_create(&RejectionLabels { reason }));
        }
        for reason in ConnectionRefusal::ALL {
            drop(metrics.refused_connections.get_or_create(&ConnectionLabels { reason }));
        }
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("sentiment_requests", "Requests answered", self.requests.clone());
        let duration = self.request_duration.clone();
        all.register("sentiment_request_duration_seconds", "Time from request to response", duration);
        all.register("sentiment_active_requests", "Requests being handled", self.active_requests.clone());
        all.register("sentiment_open_connections", "Connections that are open", self.open_connections.clone());
        let refused = self.refused_connections.clone();
        all.register(
            "sentiment_connections_refused",
            "Connections that found no place, whose head took too long, or whose TLS handshake failed",
            refused,
        );
        all.register("sentiment_model_loaded", "1 when the model serves", self.model_loaded.clone());
        let inference = self.inference_duration.clone();
        all.register("sentiment_inference_duration_seconds", "Time of one run of the model", inference);
        let score = self.prediction_score.clone();
        all.register("sentiment_prediction_score", "Probability of the winning label", score);
        let length = self.text_length.clone();
        all.register("sentiment_text_length_characters", "Characters of the texts", length);
        let truncated = self.texts_truncated.clone();
        all.register("sentiment_texts_truncated", "Texts of which the model read only the start", truncated);
        all.register("sentiment_queue_depth", "Texts that wait for a worker", self.queue_depth.clone());
        all.register("sentiment_batch_size", "Texts in one run of the model", self.batch_size.clone());
        all.register("sentiment_tokens", "Tokens run through the model", self.tokens.clone());
        let padding = self.padding.clone();
        all.register("sentiment_padding_tokens", "Padding run beside those tokens", padding);
        all.register("sentiment_rejected", "Texts that were not run", self.rejected.clone());
        all.register("sentiment_cache_hits", "Texts answered from the cache", self.cache_hits.clone());
        let misses = self.cache_misses.clone();
        all.register("sentiment_cache_misses", "Texts that were not in the cache and were run", misses);
        let shared = self.cache_shared.clone();
        all.register("sentiment_cache_shared", "Texts answered by the run of an equal one", shared);
        self.redis.register(all);
        self.access.register(all);
        self.insight.register(all);
        usage::register(all);
    }

    /// Counts a response. `endpoint` is the route's template, so that no path adds a series.
    pub fn observe_request(&self, endpoint: &str, method: &str, status: u16, took: Duration) {
        let (endpoint, method) = (endpoint.to_owned(), method.to_owned());
        let labels = DurationLabels { endpoint: endpoint.clone(), method: method.clone() };
        self.request_duration.get_or_create(&labels).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { endpoint, method, status_code: status }).inc();
    }

    /// Counts a prediction.
    pub fn observe_prediction(&self, score: f32, characters: usize) {
        self.prediction_score.observe(f64::from(score));
        self.text_length.observe(to_f64(characters));
    }

    /// Counts a run of the model.
    pub fn observe_batch(&self, texts: usize, tokens: usize, padding: usize, took: Duration) {
        self.inference_duration.observe(took.as_secs_f64());
        self.batch_size.observe(to_f64(texts));
        self.tokens.inc_by(tokens as u64);
        self.padding.inc_by(padding as u64);
    }

    /// Counts texts that were not run.
    pub fn reject_many(&self, reason: Rejection, texts: usize) {
        if texts > 0 {
            self.rejected.get_or_create(&RejectionLabels { reason }).inc_by(texts as u64);
        }
    }

    /// Counts a connection that is not served as others are.
    pub fn refuse_connection(&self, reason: ConnectionRefusal) {
        self.refused_connections.get_or_create(&ConnectionLabels { reason }).inc();
    }

    /// Says whether the model serves.
    pub fn set_model_loaded(&self, loaded: bool) {
        self.model_loaded.set(i64::from(loaded));
    }

    /// As [`Self::render`], with this comparison.
    pub fn render_with(&self, drift: &Report<'_>) -> Result<String, fmt::Error> {
        let _showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        self.insight.show_drift(drift);
        self.render()
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Bounds in seconds: one short text on a fast CPU up to the longest request time-out in use.
const DURATIONS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predecessors_seven_series_by_name() {
        let metrics = Metrics::new();
        metrics.observe_request("/api/v1/predict", "POST", 200, Duration::from_millis(3));
        metrics.observe_prediction(0.99, 20);
        metrics.observe_batch(2, 40, 4, Duration::from_millis(2));
        metrics.reject_many(Rejection::QueueFull, 3);
        let text = metrics.render().unwrap();
        for line in [
            "# TYPE sentiment_requests_total counter",
            r#"sentiment_requests_total{endpoint="/api/v1/predict",method="POST",status_code="200"} 1"#,
            r#"sentiment_request_duration_seconds_count{endpoint="/api/v1/predict",method="POST"} 1"#,
            "sentiment_active_requests 0",
            "sentiment_model_loaded 0",
            "sentiment_inference_duration_seconds_count 1",
            "sentiment_prediction_score_count 1",
            "sentiment_text_length_characters_count 1",
            "sentiment_padding_tokens_total 4",
            r#"sentiment_rejected_total{reason="queue_full"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("# EOF"));
    }
}
