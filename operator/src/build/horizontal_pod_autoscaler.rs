//! The HorizontalPodAutoscaler: it chooses the number of pods, and the Deployment then has no
//! `replicas` of ours.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use super::metadata;
use crate::validate::{Scale, ValidatedService};

/// It stays while the service is suspended: an autoscaler leaves a Deployment of zero pods alone.
pub(super) fn build(service: &ValidatedService) -> Option<HorizontalPodAutoscaler> {
    let Scale::Auto(autoscaler) = &service.scale else { return None };
    let targets = [("cpu", autoscaler.cpu), ("memory", autoscaler.memory)];
    let resources = targets.into_iter().filter_map(|(name, target)| Some(utilization(name, target?)));
    Some(HorizontalPodAutoscaler {
        metadata: metadata(service),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: service.name.clone(),
            },
            min_replicas: Some(autoscaler.min),
            max_replicas: autoscaler.max,
            metrics: Some(resources.chain(autoscaler.metrics.iter().cloned()).collect()),
            behavior: autoscaler.behavior.clone(),
        }),
        status: None,
    })
}

fn utilization(resource: &str, percentage: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percentage),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
