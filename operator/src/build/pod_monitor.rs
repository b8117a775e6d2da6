//! The PodMonitor: how a Prometheus finds the pods and their series.

use super::{
    every_pod,
    external::{PodMetricsEndpoint, PodMonitor, PodMonitorSpec},
    metadata, ports,
};
use crate::validate::ValidatedService;

pub(super) fn build(service: &ValidatedService) -> Option<PodMonitor> {
    let monitoring = service.monitoring.as_ref()?;
    let mut metadata = metadata(service);
    metadata.labels.get_or_insert_default().extend(monitoring.labels.clone());
    Some(PodMonitor {
        metadata,
        spec: PodMonitorSpec {
            selector: every_pod(service),
            pod_metrics_endpoints: vec![PodMetricsEndpoint {
                port: ports::MANAGEMENT.to_owned(),
                path: format!("{}/metrics", service.path_prefix),
                interval: monitoring.interval.clone(),
            }],
        },
    })
}
