//! What the checks look at.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::{
    apply::MissingApi,
    facts::{Autoscaler, Deployment, Eviction, Pod, Route},
    validate::ValidatedService,
};

/// All that is known of a service.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is asked for.
    pub service: &'a ValidatedService,
    /// Its Deployment, as the API server answered or the watch has it.
    pub deployment: &'a Deployment,
    /// The pods of the current revision, by name.
    pub pods: &'a [Arc<Pod>],
    /// Kinds that are asked for and that this cluster doesn't have.
    pub missing: &'a [MissingApi],
    /// What a kubelet last said of a pod that it ends.
    pub eviction: Option<&'a Eviction>,
    /// Its autoscaler, if the watch has it.
    pub autoscaler: Option<&'a Autoscaler>,
    /// Its route, if the watch has it.
    pub route: Option<&'a Route>,
    /// Its route for gRPC, if the watch has it.
    pub grpc_route: Option<&'a Route>,
    /// The last warning of the pod that [`silent_pod`](super::silent_pod) names: `pod NAME: REASON: words`.
    pub warning: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// Whether the Deployment's controller has taken up what was applied. Until then counts and pods are of an older
    /// spec, and say nothing about this one.
    pub(super) const fn is_seen(&self) -> bool {
        self.deployment.is_seen()
    }

    /// The pods that have a say, with their place in `pods`.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &'a Pod)> + use<'a> {
        let pods = if self.is_seen() { self.pods } else { &[] };
        pods.iter().enumerate().map(|(place, pod)| (place, &**pod)).filter(|(_, pod)| pod.is_live())
    }

    /// The fewest pods that make the service complete. What an autoscaler adds to them is its own affair, and comes and
    /// goes; but where it stopped all, that is what is meant.
    pub(super) fn wanted(&self) -> i32 {
        match (self.service.replicas(), self.deployment.replicas) {
            (Some(replicas), _) => replicas,
            (None, Some(0)) => 0,
            (None, _) => self.service.scale.least().max(1),
        }
    }

    /// Pods of an older spec that still run.
    pub(super) const fn old(&self) -> i32 {
        self.deployment.counts.total - self.deployment.counts.updated
    }
}
