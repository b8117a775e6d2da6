//! Prometheus series. The first seven are the predecessor's, names and labels included.

mod access;
mod calls;
mod insight;
mod usage;

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::DURATIONS;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{cache, drift::Report, inference_log, jobs::JobMetrics, predict};
pub use access::{Access, KeyFailure, LimitReason};
pub use calls::Calls;
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
    /// The queue and the runs.
    pub engine: Arc<engine::Series>,
    /// Predictions, and the model that makes them.
    pub predictions: Arc<predict::Series>,
    /// Calls over gRPC.
    pub grpc: Calls,
    /// The cache.
    pub cache: Arc<cache::Series>,
    /// The inference log.
    pub inference_log: Arc<inference_log::Series>,
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
            engine: Arc::default(),
            predictions: Arc::default(),
            grpc: Calls::new(),
            cache: Arc::default(),
            inference_log: Arc::default(),
            access: Access::default(),
            insight: Insight::default(),
            showing: Mutex::default(),
        };
        // From the start, so that the first rejection is a rise from 0 and not a new series.
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
        self.predictions.register(all);
        self.engine.register(all);
        self.grpc.register(all);
        self.cache.register(all);
        self.inference_log.register(all);
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

    /// Counts a connection that is not served as others are.
    pub fn refuse_connection(&self, reason: ConnectionRefusal) {
        self.refused_connections.get_or_create(&ConnectionLabels { reason }).inc();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predecessors_seven_series_by_name() {
        let metrics = Metrics::new();
        metrics.observe_request("/api/v1/predict", "POST", 200, Duration::from_millis(3));
        metrics.engine.observe_batch(2, 40, 4, Duration::from_millis(2));
        metrics.engine.reject_many(engine::Rejection::QueueFull, 3);
        let text = metrics.render().unwrap();
        for line in [
            "# TYPE sentiment_requests_total counter",
            r#"sentiment_requests_total{endpoint="/api/v1/predict",method="POST",status_code="200"} 1"#,
            r#"sentiment_request_duration_seconds_count{endpoint="/api/v1/predict",method="POST"} 1"#,
            "sentiment_active_requests 0",
            "sentiment_model_loaded 0",
            "sentiment_inference_duration_seconds_count 1",
            "sentiment_prediction_score_count 0",
            "sentiment_text_length_characters_count 0",
            "sentiment_padding_tokens_total 4",
            r#"sentiment_rejected_total{reason="queue_full"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("# EOF"));
    }
}
