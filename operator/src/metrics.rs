//! What the operator counts, for Prometheus.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Instant,
};

use kube::ResourceExt;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

use crate::{
    api::{ConditionType, Reason, SentimentServiceStatus, Stored},
    api_requests::ApiRequests,
    evictions::Refusals,
    lock::lock,
    queue_metric::Queue,
    rollouts,
};

type Label = [(&'static str, &'static str); 1];
type KindLabel = [(&'static str, String); 1];

/// Seconds. A quiet reconciliation takes less than a millisecond, one that writes some ten.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The operator's metrics. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests to the API server.
    pub api_requests: ApiRequests,
    /// Services that wait for a reconciliation.
    pub queue: Queue,
    /// Rollouts that the operator began by itself.
    pub rollouts: rollouts::Gauges,
    /// Evictions that weren't asked for.
    pub evictions_refused: Refusals,
    reconciles: Family<Label, Counter>,
    in_progress: Gauge,
    duration: Histogram,
    watch_starts: Family<KindLabel, Counter>,
    watch_errors: Family<KindLabel, Counter>,
    leader: Gauge,
    services: Services,
}

/// A reconciliation that is going on. It is counted when it is [finished](Self::finish), and not
/// when it is dropped before, as at the loss of the lease.
pub struct Reconciliation<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

/// The conditions that have a series for each service: those that can be worth an alert while `Ready` says nothing.
const ALERTING: [ConditionType; 3] = [ConditionType::Available, ConditionType::Scaling, ConditionType::Published];

/// How each service is doing, by namespace and name.
#[derive(Clone, Debug, Default)]
struct Services(Arc<Mutex<HashMap<(String, String), Doing>>>);

/// How a service is doing.
#[derive(Clone, Copy, Debug)]
struct Doing {
    reason: Reason,
    /// Whether each of [`ALERTING`] holds; `None` where it isn't there, or nobody can tell.
    conditions: [Option<bool>; ALERTING.len()],
}

impl Doing {
    fn of(status: &SentimentServiceStatus) -> Option<Self> {
        let holds = |type_| match status.condition(type_)?.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        };
        Some(Self { reason: status.reason()?, conditions: ALERTING.map(holds) })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("kubesentiment_operator");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's version", build);
        let reconciles = Family::<Label, Counter>::default();
        for result in ["success", "error"] {
            // From the start, so that the first failure is a rise from 0 and not a new series.
            drop(reconciles.get_or_create(&[("result", result)]));
        }
        registry.register("reconciles", "Reconciliations by result: success or error", reconciles.clone());
        let duration = Histogram::new(BUCKETS);
        registry.register("reconcile_duration_seconds", "Time of one reconciliation", duration.clone());
        let in_progress = Gauge::default();
        registry.register("reconciles_in_progress", "Reconciliations that are going on", in_progress.clone());
        let queue = Queue::register(&mut registry);
        let api_requests = ApiRequests::register(&mut registry);
        let rollouts = rollouts::Gauges::register(&mut registry);
        let evictions_refused = Refusals::register(&mut registry);
        let watch_starts = Family::default();
        registry.register("watch_starts", "Times that a watch began with a list, by kind", watch_starts.clone());
        let watch_errors = Family::default();
        registry.register("watch_errors", "Times that a watch was interrupted, by kind", watch_errors.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 in the replica that works, 0 in one that stands by", leader.clone());
        let services = Services::default();
        registry.register_collector(Box::new(services.clone()));
        Self {
            registry: Arc::new(registry),
            api_requests,
            queue,
            rollouts,
            evictions_refused,
            reconciles,
            in_progress,
            duration,
            watch_starts,
            watch_errors,
            leader,
            services,
        }
    }
}

impl Metrics {
    /// Begins to count a reconciliation.
    #[must_use]
    pub fn begin(&self) -> Reconciliation<'_> {
        self.in_progress.inc();
        Reconciliation { metrics: self, began: Instant::now() }
    }

    /// Has the series of a watch at 0, so that its first interruption is a rise and not a new series.
    pub fn watching(&self, kind: &str) {
        for series in [&self.watch_starts, &self.watch_errors] {
            drop(series.get_or_create(&[("kind", kind.to_owned())]));
        }
    }

    /// Counts the start of a watch, the first one included.
    pub fn watch_started(&self, kind: &str) {
        self.watch_starts.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// Counts an interruption of a watch.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// Notes whether this replica works.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Notes how a service is doing.
    pub fn observed(&self, object: &Stored, status: &SentimentServiceStatus) {
        if let Some(doing) = Doing::of(status) {
            lock(&self.services.0).insert((object.namespace().unwrap_or_default(), object.name_any()), doing);
        }
    }

    /// Drops a service that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        lock(&self.services.0).remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Reconciliation<'_> {
    /// Counts it.
    pub fn finish(self, succeeded: bool) {
        let result = if succeeded { "success" } else { "error" };
        self.metrics.reconciles.get_or_create(&[("result", result)]).inc();
        self.metrics.duration.observe(self.began.elapsed().as_secs_f64());
    }
}

impl Drop for Reconciliation<'_> {
    fn drop(&mut self) {
        self.metrics.in_progress.dec();
    }
}

impl Collector for Services {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let services = lock(&self.0);
        let gauge = ConstGauge::new(0_i64);
        let mut metric = encoder.encode_descriptor(
            "services",
            "SentimentServices by the reason of their Ready condition",
            None,
            gauge.metric_type(),
        )?;
        for reason in Reason::ALL {
            let count = services.values().filter(|doing| doing.reason == reason).count();
            let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            count.encode(metric.encode_family(&[("reason", reason.as_str())])?)?;
        }

        let mut metric = encoder.encode_descriptor(
            "service_reason",
            "1 for each SentimentService, with the reason of its Ready condition",
            None,
            gauge.metric_type(),
        )?;
        for ((namespace, name), doing) in &*services {
            let labels = [("namespace", namespace.as_str()), ("name", name), ("reason", doing.reason.as_str())];
            ConstGauge::new(1_i64).encode(metric.encode_family(&labels)?)?;
        }

        let mut metric = encoder.encode_descriptor(
            "service_condition",
            "1 where a condition of a SentimentService is True, 0 where it is False: Available, Scaling and Published",
            None,
            gauge.metric_type(),
        )?;
        for ((namespace, name), doing) in &*services {
            for (type_, holds) in ALERTING.into_iter().zip(doing.conditions) {
                let Some(holds) = holds else { continue };
                let labels = [("namespace", namespace.as_str()), ("name", name), ("type", type_.as_str())];
                ConstGauge::new(i64::from(holds)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn every_series_is_there() {
        let metrics = Metrics::default();
        metrics.begin().finish(true);
        metrics.begin().finish(false);
        drop(metrics.begin());
        let going_on = metrics.begin();
        metrics.watching("Service");
        metrics.watch_started("Pod");
        metrics.watch_failed("Pod");
        let text = metrics.render().unwrap();
        for line in [
            concat!("kubesentiment_operator_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "kubesentiment_operator_reconciles_total{result=\"success\"} 1",
            "kubesentiment_operator_reconciles_total{result=\"error\"} 1",
            "kubesentiment_operator_reconcile_duration_seconds_count 2",
            "kubesentiment_operator_reconciles_in_progress 1",
            "kubesentiment_operator_queue_depth 0",
            "kubesentiment_operator_rollouts_waiting 0",
            "kubesentiment_operator_watch_starts_total{kind=\"Pod\"} 1",
            "kubesentiment_operator_watch_errors_total{kind=\"Pod\"} 1",
            "kubesentiment_operator_watch_errors_total{kind=\"Service\"} 0",
            "kubesentiment_operator_leader 0",
            "kubesentiment_operator_services{reason=\"Serving\"} 0",
        ] {
            assert!(has(&text, line), "{line} is missing in:\n{text}");
        }
        drop(going_on);
    }

    #[test]
    fn a_service_is_counted_under_its_last_reason_until_it_is_gone() {
        let metrics = Metrics::default();
        let object = serde_json::from_value(serde_json::json!({"metadata": {"namespace": "demo", "name": "reviews"}}));
        let object: Stored = object.unwrap();
        let condition = |type_: &str, status: &str, reason: &str| {
            serde_json::json!({
                "type": type_, "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let status = |reason: Reason, scaling: &str| {
            let conditions = [
                condition("Ready", "False", reason.as_str()),
                condition("Available", "True", reason.as_str()),
                condition("Scaling", scaling, "Inactive"),
            ];
            serde_json::from_value(serde_json::json!({ "conditions": conditions })).unwrap()
        };
        metrics.observed(&object, &status(Reason::RollingOut, "Unknown"));
        assert!(!metrics.render().unwrap().contains("type=\"Scaling\""), "nobody can tell yet");
        metrics.observed(&object, &status(Reason::Serving, "False"));
        let text = metrics.render().unwrap();
        let one = "kubesentiment_operator_service_reason{namespace=\"demo\",name=\"reviews\",reason=\"Serving\"} 1";
        assert!(has(&text, one), "{text}");
        for (type_, value) in [("Available", 1), ("Scaling", 0)] {
            let of = format!("{{namespace=\"demo\",name=\"reviews\",type=\"{type_}\"}} {value}");
            assert!(has(&text, &format!("kubesentiment_operator_service_condition{of}")), "{text}");
        }
        assert!(!text.contains("type=\"Published\""), "it has no route");
        assert!(has(&text, "kubesentiment_operator_services{reason=\"Serving\"} 1"), "{text}");
        assert!(has(&text, "kubesentiment_operator_services{reason=\"RollingOut\"} 0"), "{text}");
        metrics.forget("demo", "reviews");
        assert!(!metrics.render().unwrap().contains("reviews"));
    }
}
