//! What is kept of a ReplicaSet.

use std::sync::Arc;

use k8s_openapi::api::apps::v1;
use kube::ResourceExt;

use super::{deployment::REVISION, words::shared};

/// A ReplicaSet: of which revision its pods are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaSet {
    /// The revision of the Deployment that it was made for.
    pub revision: Option<Arc<str>>,
}

impl ReplicaSet {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &v1::ReplicaSet) -> Self {
        Self { revision: object.annotations().get(REVISION).map(|revision| shared(revision)) }
    }
}
