//! Kinds that a cluster may or may not have, with the fields that we set and no others.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::api::ParentRef;

/// `spec` of a `PodMonitor`. Source: the Prometheus Operator, `monitoring.coreos.com/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    plural = "podmonitors",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    doc = "Which pods a Prometheus scrapes, and how."
)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// The pods.
    #[serde(default)]
    pub selector: LabelSelector,
    /// Their ports.
    #[serde(default)]
    pub pod_metrics_endpoints: Vec<PodMetricsEndpoint>,
}

/// A port that is scraped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMetricsEndpoint {
    /// Name of the port.
    #[serde(default)]
    pub port: String,
    /// Path of the series.
    #[serde(default)]
    pub path: String,
    /// Time between scrapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

/// `spec` of an `HTTPRoute`. Source: the Gateway API, `gateway.networking.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    root = "HttpRoute",
    plural = "httproutes",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "PartialEq",
    doc = "Which requests of a Gateway go to a Service."
)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// The host names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// What goes where.
    #[serde(default)]
    pub rules: Vec<HttpRouteRule>,
}

/// What Gateways report of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus(pub serde_json::Value);

/// `spec` of a `GRPCRoute`. Source: the Gateway API, `gateway.networking.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GRPCRoute",
    root = "GrpcRoute",
    plural = "grpcroutes",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "PartialEq",
    doc = "Which calls of a Gateway go to a Service."
)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// The Gateways.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// The host names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// What goes where.
    #[serde(default)]
    pub rules: Vec<GrpcRouteRule>,
}

/// Calls of every method, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Where they go.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// Requests, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Which requests.
    #[serde(default)]
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HttpRouteFilter>,
    /// Where they go.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// Requests by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRouteMatch {
    /// The path.
    #[serde(default)]
    pub path: PathMatch,
}

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// How it is compared.
    #[serde(default, rename = "type")]
    pub type_: String,
    /// What it is compared with.
    #[serde(default)]
    pub value: String,
}

/// A change of a request: the rewriting of its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilter {
    /// The kind of change.
    #[serde(default, rename = "type")]
    pub type_: String,
    /// The new path, by kind of replacement.
    #[serde(default)]
    pub url_rewrite: BTreeMap<String, BTreeMap<String, String>>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its port.
    #[serde(default)]
    pub port: i32,
}
