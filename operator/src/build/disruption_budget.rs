//! The PodDisruptionBudget: how many pods a drain of nodes may take at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};

use super::{metadata, pod_selector};
use crate::validate::{Budget, ValidatedService};

pub(super) fn build(service: &ValidatedService) -> Option<PodDisruptionBudget> {
    let (min_available, max_unavailable) = match service.budget.clone()? {
        Budget::MinAvailable(pods) => (Some(pods), None),
        Budget::MaxUnavailable(pods) => (None, Some(pods)),
    };
    Some(PodDisruptionBudget {
        metadata: metadata(service),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(pod_selector(service)),
            min_available,
            max_unavailable,
            // A pod that doesn't serve guards nobody, and would hold up the drain of its node for ever.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    })
}
