//! Where what is fetched of a model is kept.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// A name of Kubernetes'.
const NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// A volume that keeps what is fetched: a claim of the user's, or one that the operator makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.claimName) != has(self.size)").message(
    "set model.cache.claimName, for a claim of yours, or model.cache.size, for one that is made: one of the two"
))]
#[x_kube(validation = Rule::new("!has(self.claimName) || !(has(self.storageClassName) || has(self.accessMode))").message(
    "model.cache.storageClassName and accessMode are of a claim that is made: leave them out beside claimName"
))]
pub struct ModelCache {
    /// A `PersistentVolumeClaim` of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub claim_name: Option<String>,
    /// The size of a claim that is made, and that goes with the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Its `StorageClass`. Default: that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub storage_class_name: Option<String>,
    /// Whether pods on several nodes share it. Default: `ReadWriteMany`. With `ReadWriteOnce` all pods must fit on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<AccessMode>,
}

/// Which nodes may have a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "these are the names of core/v1, which documents them")]
pub enum AccessMode {
    ReadWriteOnce,
    #[default]
    ReadWriteMany,
}

impl AccessMode {
    /// The name in core/v1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}
