//! The kinds of objects that a service consists of: one declaration each.
//!
//! To add a kind, write its builder under `build/` and a line here.

use std::fmt;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::core::ApiResource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    build::{
        Children, MODEL_CLAIM_SUFFIX,
        external::{GrpcRoute, HttpRoute, PodMonitor},
    },
    facts,
};

/// A kind of child, in the order in which children are written: pods need the account to be admitted and the claim to get
/// a node, should never run without their policy, and the Service's address should exist when the first is ready. Then what refers to the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the kinds")]
pub enum ChildKind {
    ServiceAccount,
    NetworkPolicy,
    PersistentVolumeClaim,
    Service,
    Deployment,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    PodMonitor,
    HttpRoute,
    GrpcRoute,
}

/// How a kind of child is made, read and written.
pub struct Declaration {
    /// Which one.
    pub kind: ChildKind,
    /// What the name of the one that a service has is made of, after the service's.
    pub suffix: &'static str,
    /// Where the API server has it.
    pub resource: fn() -> ApiResource,
    /// The objects of it that a service asks for.
    pub built: fn(&Children) -> Vec<Value>,
    /// What is kept of one beside its metadata.
    pub facts: fn(Value) -> ChildFacts,
    /// What to say where the cluster doesn't have it.
    pub optional: Option<MissingApi>,
    /// Whether one that is no longer asked for goes before anything is written. An autoscaler would set back the number
    /// of pods that the spec now gives.
    pub goes_first: bool,
}

/// What is kept of a child beside its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildFacts {
    /// Nothing.
    None,
    /// Of the Deployment.
    Deployment(Box<facts::Deployment>),
    /// Of the autoscaler.
    Autoscaler(Box<facts::Autoscaler>),
    /// Of the claim.
    Claim(Box<facts::Claim>),
    /// Of the route.
    Route(Box<facts::Route>),
}

impl ChildFacts {
    /// Those of a Deployment.
    #[must_use]
    pub fn deployment(&self) -> Option<&facts::Deployment> {
        if let Self::Deployment(facts) = self { Some(facts) } else { None }
    }

    /// Those of a claim.
    #[must_use]
    pub fn claim(&self) -> Option<&facts::Claim> {
        if let Self::Claim(facts) = self { Some(facts) } else { None }
    }

    /// Those of an autoscaler.
    #[must_use]
    pub fn autoscaler(&self) -> Option<&facts::Autoscaler> {
        if let Self::Autoscaler(facts) = self { Some(facts) } else { None }
    }

    /// Those of a route.
    #[must_use]
    pub fn route(&self) -> Option<&facts::Route> {
        if let Self::Route(facts) = self { Some(facts) } else { None }
    }
}

/// A kind that the spec asks for and this cluster doesn't have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingApi {
    /// The kind, with its API.
    pub kind: &'static str,
    /// Its CustomResourceDefinition.
    pub definition: &'static str,
    /// Who brings it.
    pub provider: &'static str,
    /// The field that asks for it.
    pub field: &'static str,
}

impl fmt::Display for MissingApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, provider, field, .. } = self;
        write!(
            f,
            "{field} needs the kind {kind}, which this cluster doesn't have: install {provider}, which is then taken up without a restart, or remove {field}"
        )
    }
}

/// Nothing special: it is there in each cluster, and nothing is read of it.
const PLAIN: Declaration = Declaration {
    kind: ChildKind::Service,
    suffix: "",
    resource: || ApiResource::erase::<Service>(&()),
    built: |_| Vec::new(),
    facts: |_| ChildFacts::None,
    optional: None,
    goes_first: false,
};

/// All kinds, in the order of [`ChildKind`].
pub static KINDS: [Declaration; 10] = [
    Declaration {
        kind: ChildKind::ServiceAccount,
        resource: || ApiResource::erase::<ServiceAccount>(&()),
        built: |children| json(children.service_account.as_ref()),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::NetworkPolicy,
        resource: || ApiResource::erase::<NetworkPolicy>(&()),
        built: |children| json(children.network_policy.as_ref()),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::PersistentVolumeClaim,
        suffix: MODEL_CLAIM_SUFFIX,
        resource: || ApiResource::erase::<PersistentVolumeClaim>(&()),
        built: |children| json(children.model_claim.as_ref()),
        facts: |object| read(object, |claim| ChildFacts::Claim(facts::Claim::of(claim).into())),
        ..PLAIN
    },
    Declaration { kind: ChildKind::Service, built: |children| json(Some(&children.service)), ..PLAIN },
    Declaration {
        kind: ChildKind::Deployment,
        resource: || ApiResource::erase::<Deployment>(&()),
        built: |children| json(Some(&children.deployment)),
        facts: |object| read(object, |deployment| ChildFacts::Deployment(facts::Deployment::of(deployment).into())),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::HorizontalPodAutoscaler,
        resource: || ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        built: |children| json(children.autoscaler.as_ref()),
        facts: |object| read(object, |autoscaler| ChildFacts::Autoscaler(facts::Autoscaler::of(autoscaler).into())),
        goes_first: true,
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::PodDisruptionBudget,
        resource: || ApiResource::erase::<PodDisruptionBudget>(&()),
        built: |children| json(children.disruption_budget.as_ref()),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::PodMonitor,
        resource: || ApiResource::erase::<PodMonitor>(&()),
        built: |children| json(children.pod_monitor.as_ref()),
        optional: Some(MissingApi {
            kind: "PodMonitor (monitoring.coreos.com/v1)",
            definition: "podmonitors.monitoring.coreos.com",
            provider: "the Prometheus Operator",
            field: "spec.monitoring",
        }),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::HttpRoute,
        resource: || ApiResource::erase::<HttpRoute>(&()),
        built: |children| json(children.route.as_ref()),
        facts: |object| read(object, |route| ChildFacts::Route(facts::Route::of(route).into())),
        optional: Some(MissingApi {
            kind: "HTTPRoute (gateway.networking.k8s.io/v1)",
            definition: "httproutes.gateway.networking.k8s.io",
            provider: "the Gateway API",
            field: "spec.route",
        }),
        ..PLAIN
    },
    Declaration {
        kind: ChildKind::GrpcRoute,
        resource: || ApiResource::erase::<GrpcRoute>(&()),
        built: |children| json(children.grpc_route.as_ref()),
        facts: |object| read(object, |route| ChildFacts::Route(facts::Route::of(route).into())),
        optional: Some(MissingApi {
            kind: "GRPCRoute (gateway.networking.k8s.io/v1)",
            definition: "grpcroutes.gateway.networking.k8s.io",
            provider: "the Gateway API, 1.1 or later",
            field: "spec.route.grpc",
        }),
        ..PLAIN
    },
];

/// Kubernetes objects have string keys only, so they always have a JSON form.
fn json<K: Serialize>(object: Option<&K>) -> Vec<Value> {
    object.map(|object| serde_json::to_value(object).unwrap_or_default()).into_iter().collect()
}

/// An object that can't be read has no facts: that concerns its service and no other.
fn read<K: DeserializeOwned>(object: Value, facts: impl FnOnce(&K) -> ChildFacts) -> ChildFacts {
    serde_json::from_value(object).map_or(ChildFacts::None, |object| facts(&object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_are_in_the_order_of_their_kinds() {
        for (place, declaration) in KINDS.iter().enumerate() {
            assert_eq!(declaration.kind as usize, place, "{:?}", declaration.kind);
        }
    }

    #[test]
    fn a_child_that_cannot_be_read_has_no_facts() {
        let broken = serde_json::json!({"spec": {"replicas": "many"}});
        assert_eq!((KINDS[ChildKind::Deployment as usize].facts)(broken), ChildFacts::None);
    }
}
