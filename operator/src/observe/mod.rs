//! Finds out how a service is doing, from its Deployment and the pods of the current revision.

mod cause;

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus, ReplicaSet},
    core::v1::Pod,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

pub use self::cause::Cause;
pub(crate) use self::cause::is_live;
use crate::{
    api::Reason,
    apply::{Applied, MissingApi},
    evictions::Eviction,
    validate::{Scale, ValidatedService},
    watches::Stores,
};

/// The annotation by which a Deployment and its ReplicaSets agree on what is current.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// How a service is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Why the service is ready, or isn't.
    pub reason: Reason,
    /// The cause in one sentence.
    pub message: String,
    /// Pods by state.
    pub counts: Counts,
    /// Digest of the image that a pod of the current spec runs, as the kubelet gives it.
    pub image_digest: Option<String>,
}

/// Pods by state, over all revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods that exist.
    pub total: i32,
    /// Pods of the current spec.
    pub updated: i32,
    /// Pods that pass their readiness probe.
    pub ready: i32,
    /// Pods that take traffic.
    pub available: i32,
}

/// Observes a service whose children have been applied. `eviction` is the last one that a kubelet told of.
#[must_use]
pub fn observe(
    service: &ValidatedService,
    applied: &Applied,
    stores: &Stores,
    eviction: Option<&Eviction>,
) -> Observation {
    let deployment = &*applied.deployment;
    let current = current_replica_set(deployment, &stores.replica_sets_of(deployment));
    let pods = current.as_ref().map(|replica_set| stores.pods_of(replica_set)).unwrap_or_default();
    judge(service, deployment, &pods, &applied.missing, eviction)
}

/// The pods of a service whose current spec could not be applied: what serves of an older one.
#[must_use]
pub fn counts(namespace: &str, name: &str, stores: &Stores) -> Counts {
    let deployment = stores.deployments.get(&ObjectRef::new(name).within(namespace));
    Counts::of(&deployment.and_then(|deployment| deployment.status.clone()).unwrap_or_default())
}

impl Counts {
    fn of(status: &DeploymentStatus) -> Self {
        Self {
            total: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }
}

fn current_replica_set(deployment: &Deployment, replica_sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
    let revision = deployment.annotations().get(REVISION)?;
    replica_sets.iter().find(|replica_set| replica_set.annotations().get(REVISION) == Some(revision)).cloned()
}

/// `pods` are those of the current revision.
fn judge(
    service: &ValidatedService,
    deployment: &Deployment,
    pods: &[Arc<Pod>],
    missing: &[MissingApi],
    eviction: Option<&Eviction>,
) -> Observation {
    let status = deployment.status.clone().unwrap_or_default();
    let counts = Counts::of(&status);
    // Until the Deployment controller has seen what was applied, its counts are of an older spec.
    let seen = deployment.metadata.generation.is_some() && status.observed_generation >= deployment.metadata.generation;
    let set = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    // What an autoscaler adds to the fewest pods is its own affair, and comes and goes; with none it wants one or none.
    let wanted = service.replicas().unwrap_or_else(|| service.scale.least().max(set.unwrap_or(1).min(1)));
    let (reason, message) = if wanted == 0 {
        (Reason::Suspended, suspended(service, counts))
    } else if seen && is_complete(wanted, counts) {
        let meant = set.unwrap_or(wanted);
        (Reason::Serving, format!("{} of {meant} replicas serve", counts.available))
    } else {
        // Pods of the revision before the one just applied say nothing about it.
        let pods = if seen { pods } else { &[] };
        match cause::of_pods(service, pods).or_else(|| cause::of_deployment(&status)) {
            Some(Cause { reason, message }) => (reason, message),
            None if seen => {
                let mut message = progress(wanted, counts, &status);
                if let Some(eviction) = cause::of_eviction(pods, eviction) {
                    message += &format!("; {eviction}");
                }
                (Reason::RollingOut, message)
            }
            None => (Reason::RollingOut, "the Deployment's controller has yet to take up the current spec".to_owned()),
        }
    };
    let (reason, message) = match (reason, missing.first()) {
        (Reason::Serving | Reason::RollingOut, Some(missing)) => (Reason::DependencyMissing, missing.to_string()),
        _ => (reason, message),
    };
    Observation { reason, message, counts, image_digest: pods.iter().find_map(|pod| image_digest(pod)) }
}

fn is_complete(wanted: i32, counts: Counts) -> bool {
    counts.updated >= wanted && counts.total == counts.updated && counts.available >= wanted
}

fn suspended(service: &ValidatedService, counts: Counts) -> String {
    let why = match service.scale {
        _ if service.suspended => "spec.suspend is true",
        Scale::Fixed(_) => "spec.replicas is 0",
        Scale::Auto(_) => "its autoscaler wants no pod at present",
        Scale::External => "what scales the Deployment wants no pod at present",
    };
    match counts.total {
        0 => format!("{why}: no pod runs"),
        left => format!("{why}: {left} pods are stopping"),
    }
}

/// The kubelet's name of an image ends in its digest.
fn image_digest(pod: &Pod) -> Option<String> {
    let digest = cause::server(pod)?.image_id.rsplit('@').next()?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

fn progress(wanted: i32, counts: Counts, status: &DeploymentStatus) -> String {
    let old = counts.total - counts.updated;
    let mut message =
        format!("{} of {wanted} replicas are of the current spec, {} serve", counts.updated, counts.available);
    if old > 0 {
        message += &format!(", {old} of an older spec remain");
    }
    let late = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Progressing" && condition.status == "False");
    if let Some(text) = late.and_then(|condition| condition.message.as_deref()) {
        message.push_str("; ");
        message.push_str(text);
    }
    message
}

#[cfg(test)]
mod tests;
