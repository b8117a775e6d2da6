//! What a pod takes, where it runs, and how it is probed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    QuantityMap,
    labels::{KEYS, KEYS_MESSAGE, OWN_LABELS, OWN_LABELS_MESSAGE, TOGETHER, TOGETHER_MESSAGE},
};

/// Resources of each pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)"
).message("a request exceeds its limit: lower the one in resources.requests or raise the one in resources.limits"))]
pub struct Resources {
    /// What the scheduler reserves, by resource name. Stands as it is written. Default: `cpu: 250m, memory: 512Mi`,
    /// lowered to a given limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QuantityMap", extend("maxProperties" = 8))]
    pub requests: Option<QuantityMap>,
    /// What a pod can take at most, by resource name. Stands as it is written: without `cpu` there is no limit of the
    /// CPU. Default: `cpu: 500m, memory: 1Gi`, raised to a given request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QuantityMap", extend("maxProperties" = 8))]
    pub limits: Option<QuantityMap>,
}

/// Changes to the timing of the probes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Until it succeeds, the others wait. Default: every second, for two minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// When it fails, the container is restarted. Default: every 10 s, 3 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// When it fails, the pod takes no traffic. Default: every 5 s, twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
}

/// The timing of one probe. What is left out keeps the operator's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Seconds before the first try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: Option<i32>,
    /// Seconds until a try counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: Option<i32>,
    /// Failed tries in a row that count as a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub failure_threshold: Option<i32>,
}

/// Labels and annotations for the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels, added to the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new(OWN_LABELS).message(OWN_LABELS_MESSAGE), validation = Rule::new(KEYS).message(KEYS_MESSAGE))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. A change of them rolls the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    #[x_kube(validation = Rule::new(KEYS).message(KEYS_MESSAGE), validation = Rule::new(TOGETHER).message(TOGETHER_MESSAGE))]
    pub annotations: BTreeMap<String, String>,
}

/// As whom the pods run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Who chooses the pods' user and group ids. `Fixed`: 65532, the images' own. `Platform`: the cluster, from a
    /// range of the namespace. Never root. Default: `Fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<UserIds>,
}

/// Who chooses the ids of the pods' user and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the field that they are for says it all")]
pub enum UserIds {
    #[default]
    Fixed,
    Platform,
}

/// Where the pods run. Default: spread over hosts where that is possible.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels that a node must have, beside `kubernetes.io/os: linux`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods bear, as in `pod.spec.tolerations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// Nodes and neighbours that the pods want or avoid, as in `pod.spec.affinity`. With the operator's own image the
    /// architectures that it is built for are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Replaces the default spread over hosts, as in `pod.spec.topologySpreadConstraints`. One
    /// without a `labelSelector` counts the pods of this service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Name of a PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Name of a RuntimeClass, such as one that sandboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
}

/// A ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConfigMapRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}
