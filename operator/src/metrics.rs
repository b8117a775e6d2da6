//! What the operator counts, for Prometheus.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{api::Reason, watches::Guarded};

type ResultLabel = [(&'static str, &'static str); 1];

/// Seconds. A quiet reconciliation takes less than a millisecond, one that writes some ten.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The operator's metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ResultLabel, Counter>,
    duration: Histogram,
    leader: Gauge,
    services: Services,
}

/// The reason of each service, by namespace and name.
#[derive(Clone, Debug, Default)]
struct Services(Arc<Mutex<HashMap<(String, String), Reason>>>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("kubesentiment_operator");
        let reconciles = Family::default();
        registry.register("reconciles", "Reconciliations by result: success or error", reconciles.clone());
        let duration = Histogram::new(BUCKETS);
        registry.register("reconcile_duration_seconds", "Time of one reconciliation", duration.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 in the replica that works, 0 in one that stands by", leader.clone());
        let services = Services::default();
        registry.register_collector(Box::new(services.clone()));
        Self { registry: Arc::new(registry), reconciles, duration, leader, services }
    }
}

impl Metrics {
    /// Counts a reconciliation.
    pub fn reconciled(&self, took: Duration, succeeded: bool) {
        let result = if succeeded { "success" } else { "error" };
        self.reconciles.get_or_create(&[("result", result)]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Notes whether this replica works.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Notes how a service is doing.
    pub fn observed(&self, object: &Guarded, reason: Reason) {
        self.services.lock().insert((object.namespace().unwrap_or_default(), object.name_any()), reason);
    }

    /// Drops a service that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.services.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Services {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Reason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Services {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let services = self.lock();
        let gauge = ConstGauge::new(0_i64);
        let mut metric = encoder.encode_descriptor(
            "services",
            "SentimentServices by the reason of their Ready condition",
            None,
            gauge.metric_type(),
        )?;
        for reason in Reason::ALL {
            let count = services.values().filter(|value| **value == reason).count();
            let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            count.encode(metric.encode_family(&[("reason", reason.as_str())])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there() {
        let metrics = Metrics::default();
        metrics.reconciled(Duration::from_millis(2), true);
        metrics.reconciled(Duration::from_millis(2), false);
        let text = metrics.render().unwrap();
        for line in [
            "kubesentiment_operator_reconciles_total{result=\"success\"} 1",
            "kubesentiment_operator_reconciles_total{result=\"error\"} 1",
            "kubesentiment_operator_reconcile_duration_seconds_count 2",
            "kubesentiment_operator_leader 0",
            "kubesentiment_operator_services{reason=\"Serving\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
