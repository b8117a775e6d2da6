//! Builds the children of a service: pure, and infallible, since [`ValidatedService`] can't be wrong.

mod deployment;
pub mod labels;
mod service;
mod service_account;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use self::deployment::CONTAINER;
use crate::validate::ValidatedService;

/// Every object that a service consists of, as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// The identity of the pods, which has no token.
    pub service_account: ServiceAccount,
    /// The address of the pods.
    pub service: Service,
    /// The pods.
    pub deployment: Deployment,
}

/// Builds the children of a service.
#[must_use]
pub fn build(service: &ValidatedService) -> Children {
    Children {
        service_account: service_account::build(service),
        service: service::build(service),
        deployment: deployment::build(service),
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

#[cfg(test)]
mod tests;
