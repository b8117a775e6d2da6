//! Which traffic the pods take part in, and which Gateways lead to them.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::{DEFAULT_GRPC_PORT, DEFAULT_PORT, Invalid, in_range};
use crate::api::{NetworkPolicy, ParentRef, Route};

/// On by default: a service that nobody thought about is the one that needs it.
pub(super) fn policy(spec: Option<&NetworkPolicy>) -> Result<Option<NetworkPolicy>, Invalid> {
    let policy = spec.cloned().unwrap_or_default();
    for (list, peers) in
        [("ingressFrom", &policy.ingress_from), ("egressTo", &policy.egress_to), ("dnsTo", &policy.dns_to)]
    {
        if let Some(index) = peers.iter().position(|peer| !is_peer(peer)) {
            return Err(Invalid::Peer { list, index });
        }
    }
    Ok(policy.enabled.then_some(policy))
}

/// Only Gateways: whoever may create a service gets a route through the operator, and must not reach with it what routes
/// of their own would need a right for, such as a mesh's Services.
pub(super) fn route(spec: Option<&Route>, speaks_grpc: bool) -> Result<Option<Route>, Invalid> {
    if !speaks_grpc && spec.is_some_and(|route| route.grpc.is_some()) {
        return Err(Invalid::RouteOfNothing);
    }
    let parents = spec.iter().flat_map(|route| &route.parent_refs);
    match parents.into_iter().position(|parent| !is_gateway(parent)) {
        Some(index) => Err(Invalid::Parent { index }),
        None => Ok(spec.cloned()),
    }
}

/// The port of a Service for gRPC. One that has the usual number for HTTP swaps the two.
pub(super) fn grpc_port(given: Option<i32>, http: i32) -> Result<i32, Invalid> {
    let port = given.unwrap_or(if http == DEFAULT_GRPC_PORT { DEFAULT_PORT } else { DEFAULT_GRPC_PORT });
    if port == http { Err(Invalid::SamePort(port)) } else { in_range("service.grpcPort", port, 1, 65535) }
}

fn is_gateway(parent: &ParentRef) -> bool {
    parent.group.as_deref().is_none_or(|group| group == "gateway.networking.k8s.io")
        && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway")
}

fn is_peer(peer: &NetworkPolicyPeer) -> bool {
    peer.ip_block.is_some() != (peer.pod_selector.is_some() || peer.namespace_selector.is_some())
}
