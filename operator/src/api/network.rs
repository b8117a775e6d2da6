//! Who reaches the pods, and how.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels::{KEYS, KEYS_MESSAGE, OWN_LABELS, OWN_LABELS_MESSAGE, TOGETHER, TOGETHER_MESSAGE};

/// The Service in front of the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.grpcPort) || self.grpcPort != (has(self.port) ? self.port : 8000)").message(
    "service.grpcPort is the port of the Service for HTTP, 8000 unless service.port says otherwise: give gRPC another"
))]
pub struct Service {
    /// How the Service is exposed. Default: `ClusterIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// The port of the Service. Default: 8000, the port of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The port of the Service for gRPC, where that is served. Default: 8001, or 8000 where `port` is 8001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub grpc_port: Option<i32>,
    /// `ClientIP` sends each client to one pod, as asynchronous batch jobs behind several pods need it: a job is in the
    /// memory of the pod that took it. Default: `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
    /// Annotations of the Service, as cloud load balancers read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    #[x_kube(validation = Rule::new(KEYS).message(KEYS_MESSAGE), validation = Rule::new(TOGETHER).message(TOGETHER_MESSAGE))]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is exposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "these are the names of core/v1, which documents them")]
pub enum ServiceType {
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    NodePort,
    LoadBalancer,
}

impl ServiceType {
    /// The name in core/v1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Whether a client keeps its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "these are the names of core/v1, which documents them")]
pub enum SessionAffinity {
    #[default]
    None,
    #[serde(rename = "ClientIP")]
    ClientIp,
}

/// The only traffic that the pods take part in: ports 8000, 8001 and 8081 in; out, the cluster's DNS and what the spec
/// itself names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there is a NetworkPolicy.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who may call ports 8000 and 8001, and 8081 for the series, as in `networkpolicy.spec.ingress.from`. Default: everybody.
    /// Where it is set, list the namespace of Prometheus too, and that of the operator, which asks a pod for
    /// `status.model.digest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(PEERS).message(PEERS_MESSAGE))]
    pub ingress_from: Vec<NetworkPolicyPeer>,
    /// What the pods may call beside DNS and what the spec itself names, as in
    /// `networkpolicy.spec.egress.to`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(PEERS).message(PEERS_MESSAGE))]
    pub egress_to: Vec<NetworkPolicyPeer>,
    /// Where the cluster's DNS is, as in `networkpolicy.spec.egress.to`. Default: its pods in `kube-system` and
    /// `openshift-dns`, and the usual addresses of a cache on the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(PEERS).message(PEERS_MESSAGE))]
    pub dns_to: Vec<NetworkPolicyPeer>,
}

const PEERS: &str = "self.all(peer, has(peer.ipBlock) != (has(peer.podSelector) || has(peer.namespaceSelector)))";
const PEERS_MESSAGE: &str =
    "a peer is an ipBlock, or a podSelector, a namespaceSelector, or the last two together: set one of these";

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true, ingress_from: Vec::new(), egress_to: Vec::new(), dns_to: Vec::new() }
    }
}

/// An `HTTPRoute` of the Gateway API, where that API is installed, and a `GRPCRoute` beside it where `grpc` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names that it answers for, such as `reviews.example.com`. Default: those of the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,
    /// Path under which the whole service appears: with `/reviews`, callers send to
    /// `/reviews/api/v1/predict`. The server sees its own paths. Default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/([^/?#\s]+(/[^/?#\s]+)*)?$"))]
    pub path: Option<String>,
    /// Publishes gRPC too, by a `GRPCRoute` with the same Gateways. `grpc: {}` has the same host names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcRoute>,
}

/// A `GRPCRoute` of the Gateway API. The methods of gRPC have paths of their own, so `path` is not for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRoute {
    /// Host names for gRPC. Default: those of the route. Some Gateways accept just one of the two routes for a host
    /// name: with these, give gRPC one of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,
}

/// A Gateway. Other parents of a route, such as a mesh's Services, are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "(!has(self.group) || self.group == 'gateway.networking.k8s.io') && (!has(self.kind) || self.kind == 'Gateway')"
).message("a parent of the route is a Gateway: leave group and kind out, or set gateway.networking.k8s.io and Gateway"))]
pub struct ParentRef {
    /// API group: `gateway.networking.k8s.io`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind: `Gateway`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace. Default: that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name of a listener. Default: all listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Port of a listener. Default: all ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// A `PodMonitor` of the Prometheus Operator, where that API is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether there is a PodMonitor.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Time between scrapes, such as `30s` or `1m`. Default: Prometheus' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(ms|s|m|h)$"))]
    pub interval: Option<String>,
    /// Labels of the PodMonitor, by which a Prometheus selects it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new(OWN_LABELS).message(OWN_LABELS_MESSAGE), validation = Rule::new(KEYS).message(KEYS_MESSAGE))]
    pub labels: BTreeMap<String, String>,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { enabled: true, interval: None, labels: BTreeMap::new() }
    }
}

const fn yes() -> bool {
    true
}
