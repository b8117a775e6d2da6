//! Builds the children of a service: pure, and infallible, since [`ValidatedService`] can't be wrong.

mod deployment;
mod disruption_budget;
mod dns;
mod environment;
pub mod external;
mod grpc_route;
mod horizontal_pod_autoscaler;
mod http_route;
pub mod labels;
mod model;
mod network_policy;
mod nodes;
mod persistent_volume_claim;
mod pod_monitor;
mod ports;
mod secret_files;
mod service;
mod service_account;
mod volumes;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use self::external::{GrpcRoute, HttpRoute, PodMonitor};
pub use self::{
    deployment::{CONFIG_HASH, CONTAINER},
    model::{FETCHER, VOLUME as MODEL_VOLUME},
    persistent_volume_claim::SUFFIX as MODEL_CLAIM_SUFFIX,
    ports::MANAGEMENT_NUMBER,
};
use crate::{dereference::References, validate::ValidatedService};

/// Every object that a service consists of, as it should be. What is `None` must not exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// The identity of the pods, which has no token.
    pub service_account: Option<ServiceAccount>,
    /// The traffic that the pods may take part in.
    pub network_policy: Option<NetworkPolicy>,
    /// What keeps the model that the pods fetch.
    pub model_claim: Option<PersistentVolumeClaim>,
    /// The address of the pods.
    pub service: Service,
    /// The pods.
    pub deployment: Deployment,
    /// What chooses the number of pods.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// How many pods a drain of nodes may take.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// How Prometheus finds the pods.
    pub pod_monitor: Option<PodMonitor>,
    /// How a Gateway finds the Service.
    pub route: Option<HttpRoute>,
    /// How a Gateway finds the Service for gRPC.
    pub grpc_route: Option<GrpcRoute>,
}

/// Builds the children of a service.
#[must_use]
pub fn build(service: &ValidatedService, references: &References) -> Children {
    Children {
        service_account: service_account::build(service),
        network_policy: network_policy::build(service),
        model_claim: persistent_volume_claim::build(service),
        service: service::build(service),
        deployment: deployment::build(service, references),
        autoscaler: horizontal_pod_autoscaler::build(service),
        disruption_budget: disruption_budget::build(service),
        pod_monitor: pod_monitor::build(service),
        route: http_route::build(service),
        grpc_route: grpc_route::build(service),
    }
}

/// The metadata that all children share.
fn metadata(service: &ValidatedService) -> ObjectMeta {
    ObjectMeta {
        name: Some(service.name.clone()),
        namespace: Some(service.namespace.clone()),
        labels: Some(labels::all(service)),
        owner_references: Some(vec![service.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The pods of a service's Deployment.
fn pod_selector(service: &ValidatedService) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::selector(service)), ..LabelSelector::default() }
}

/// The pods of a service, of every track.
fn every_pod(service: &ValidatedService) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::every_track(service)), ..LabelSelector::default() }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
