//! The PodMonitor: how a Prometheus finds the pods and their series.

use super::{
    deployment::PORT_NAME,
    external::{PodMetricsEndpoint, PodMonitor, PodMonitorSpec},
    metadata, pod_selector,
};
use crate::validate::ValidatedService;

pub(super) fn build(service: &ValidatedService) -> Option<PodMonitor> {
    let monitoring = service.monitoring.as_ref()?;
    let mut metadata = metadata(service);
    metadata.labels.get_or_insert_default().extend(monitoring.labels.clone());
    Some(PodMonitor {
        metadata,
        spec: PodMonitorSpec {
            selector: pod_selector(service),
            pod_metrics_endpoints: vec![PodMetricsEndpoint {
                port: PORT_NAME.to_owned(),
                path: format!("{}/metrics", service.path_prefix),
                interval: monitoring.interval.clone(),
            }],
        },
    })
}
