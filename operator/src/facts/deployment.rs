//! What is kept of a Deployment.

use std::sync::Arc;

use k8s_openapi::{
    api::apps::v1::{self, DeploymentCondition, DeploymentSpec},
    apimachinery::pkg::util::intstr::IntOrString,
    jiff::Timestamp,
};
use kube::ResourceExt;

use super::words::{head, shared};
use crate::{
    api::Reason,
    build::{CONTAINER, MODEL_VOLUME},
};

/// The annotation by which a Deployment and its ReplicaSets agree on what is current.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation: the hash of the template that was applied last.
pub const TEMPLATE_HASH: &str = "kubesentiment.io/template-hash";
/// Annotation: the generation of the spec that it was made from.
pub const TEMPLATE_GENERATION: &str = "kubesentiment.io/template-generation";
/// Annotation on a Deployment that the operator rolls by itself: how the service did before.
pub const ROLLOUT: &str = "kubesentiment.io/rollout";

/// A Deployment: what is meant to run, and what does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// `metadata.generation`; 0 in an object that no API server has seen.
    pub generation: i64,
    /// The generation that the rest of the status is of.
    pub observed_generation: i64,
    /// The revision that its current ReplicaSet has too.
    pub revision: Option<Arc<str>>,
    /// Pods that are meant to run.
    pub replicas: Option<i32>,
    /// Whether a rollout may stop an old pod before a new one serves.
    pub gives_way: bool,
    /// Pods by state.
    pub counts: Counts,
    /// Since when enough pods take traffic.
    pub available_since: Option<Timestamp>,
    /// The image of the server in the live template.
    pub image: Option<Arc<str>>,
    /// Whether pods of that template mount a model.
    pub mounts_model: bool,
    /// What its controller says of a rollout that is past its deadline.
    pub late: Option<Arc<str>>,
    /// Why its controller can't make pods.
    pub refusal: Option<Box<Refusal>>,
    /// Our annotation [`TEMPLATE_HASH`].
    pub template_hash: Option<Arc<str>>,
    /// Our annotation [`TEMPLATE_GENERATION`].
    pub template_generation: Option<Arc<str>>,
    /// Our annotation [`ROLLOUT`].
    pub rollout: Option<Arc<str>>,
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

/// Why a Deployment's controller can't make pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class, told from all of the words.
    pub reason: Reason,
    /// The API server's words.
    pub message: Arc<str>,
}

impl Deployment {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &v1::Deployment) -> Self {
        let annotation = |key: &str| object.annotations().get(key).map(String::as_str);
        let status = object.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let condition = |type_: &str, status: &str| {
            conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
        };
        let words = |condition: &DeploymentCondition| condition.message.clone().unwrap_or_default();
        let since = |condition: &DeploymentCondition| condition.last_transition_time.as_ref().map(|time| time.0);
        Self {
            generation: object.metadata.generation.unwrap_or_default(),
            observed_generation: status.and_then(|status| status.observed_generation).unwrap_or_default(),
            revision: annotation(REVISION).map(shared),
            replicas: object.spec.as_ref().and_then(|spec| spec.replicas),
            gives_way: object.spec.as_ref().is_some_and(gives_way),
            counts: status.map(Counts::of).unwrap_or_default(),
            available_since: condition("Available", "True").and_then(since),
            image: object.spec.as_ref().and_then(image).map(shared),
            mounts_model: object.spec.as_ref().is_some_and(mounts_model),
            late: condition("Progressing", "False").map(|late| head(&words(late)).into()),
            refusal: condition("ReplicaFailure", "True").map(|failure| Box::new(Refusal::of(&words(failure)))),
            template_hash: annotation(TEMPLATE_HASH).map(Into::into),
            template_generation: annotation(TEMPLATE_GENERATION).map(shared),
            rollout: annotation(ROLLOUT).map(shared),
        }
    }

    /// Whether its controller has taken up what was applied. Until then the counts are of an older spec.
    #[must_use]
    pub const fn is_seen(&self) -> bool {
        self.generation > 0 && self.observed_generation >= self.generation
    }

    /// Whether `kubectl rollout status` would end.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        let wanted = self.wanted();
        self.observed_generation >= self.generation
            && self.counts.updated >= wanted
            && self.counts.total == self.counts.updated
            && self.counts.available >= wanted
    }

    /// Pods that are meant to run: one where nobody says how many.
    #[must_use]
    pub const fn wanted(&self) -> i32 {
        match self.replicas {
            Some(replicas) => replicas,
            None => 1,
        }
    }
}

impl Counts {
    fn of(status: &v1::DeploymentStatus) -> Self {
        Self {
            total: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }
}

impl Refusal {
    /// The API server refuses pods in words that have no code of their own.
    fn of(message: &str) -> Self {
        // Admission names what it looked up in vain: an account, a priority, a runtime.
        let looked_up = ["serviceaccount \"", "PriorityClass with name ", "RuntimeClass \""];
        let in_vain = message.contains("not found") || message.contains("was found");
        let reason = if message.contains("exceeded quota") {
            Reason::QuotaExceeded
        } else if in_vain && looked_up.iter().any(|words| message.contains(words)) {
            Reason::DependencyMissing
        } else {
            Reason::ApplyFailed
        };
        Self { reason, message: head(message).into() }
    }
}

fn mounts_model(spec: &DeploymentSpec) -> bool {
    let volumes = spec.template.spec.iter().flat_map(|pod| pod.volumes.iter().flatten());
    volumes.into_iter().any(|volume| volume.name == MODEL_VOLUME)
}

fn image(spec: &DeploymentSpec) -> Option<&str> {
    let containers = &spec.template.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == CONTAINER)?.image.as_deref()
}

fn gives_way(spec: &DeploymentSpec) -> bool {
    let Some(strategy) = &spec.strategy else { return false };
    let unavailable = strategy.rolling_update.as_ref().and_then(|rolling| rolling.max_unavailable.as_ref());
    strategy.type_.as_deref() == Some("Recreate")
        || match unavailable {
            Some(IntOrString::Int(pods)) => *pods > 0,
            Some(IntOrString::String(share)) => share != "0%",
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_of_a_deployment_is_kept() {
        let object = serde_json::from_value(json!({
            "metadata": {"generation": 4, "annotations": {
                REVISION: "7", TEMPLATE_HASH: "00ff", TEMPLATE_GENERATION: "3", ROLLOUT: "serving", "own": "x",
            }},
            "spec": {
                "replicas": 3, "selector": {},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {"spec": {"containers": [
                    {"name": "istio-proxy", "image": "proxy:1"}, {"name": "sentiment", "image": "s:1"},
                ], "volumes": [{"name": "tmp"}, {"name": "model"}]}},
            },
            "status": {
                "observedGeneration": 4, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 2,
                "conditions": [
                    {"type": "Available", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "Progressing", "status": "False", "message": "ReplicaSet \"r\" has timed out progressing."},
                    {"type": "ReplicaFailure", "status": "True", "message": "pods \"r\" is forbidden: exceeded quota: q"},
                ],
            },
        }))
        .unwrap();
        let expected = Deployment {
            generation: 4,
            observed_generation: 4,
            revision: Some("7".into()),
            replicas: Some(3),
            gives_way: false,
            counts: Counts { total: 4, updated: 1, ready: 3, available: 2 },
            available_since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            image: Some("s:1".into()),
            mounts_model: true,
            late: Some("ReplicaSet \"r\" has timed out progressing.".into()),
            refusal: Some(Box::new(Refusal {
                reason: Reason::QuotaExceeded,
                message: "pods \"r\" is forbidden: exceeded quota: q".into(),
            })),
            template_hash: Some("00ff".into()),
            template_generation: Some("3".into()),
            rollout: Some("serving".into()),
        };
        assert_eq!(Deployment::of(&object), expected);
        assert!(expected.is_seen() && !expected.is_complete());
        assert_eq!(Deployment::of(&v1::Deployment::default()), Deployment::default());
    }

    #[test]
    fn a_refusal_keeps_its_class_however_long_its_words() {
        let message = format!("pods \"r\" is forbidden: {} exceeded quota: small", "x".repeat(2000));
        let refusal = Refusal::of(&message);
        assert_eq!((refusal.reason, refusal.message.len()), (Reason::QuotaExceeded, 1024));
    }

    #[test]
    fn some_strategies_give_way() {
        let of = |strategy| {
            let spec = json!({"selector": {}, "template": {}, "strategy": strategy});
            Deployment::of(&serde_json::from_value(json!({"spec": spec})).unwrap()).gives_way
        };
        assert!(of(json!({"type": "Recreate"})));
        assert!(of(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}})));
        assert!(!of(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "0%"}})));
    }
}
