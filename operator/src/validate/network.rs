//! Which traffic the pods take part in.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::Invalid;
use crate::api::NetworkPolicy;

/// On by default: a service that nobody thought about is the one that needs it.
pub(super) fn policy(spec: Option<&NetworkPolicy>) -> Result<Option<NetworkPolicy>, Invalid> {
    let policy = spec.cloned().unwrap_or_default();
    for (list, peers) in [("ingressFrom", &policy.ingress_from), ("egressTo", &policy.egress_to)] {
        if let Some(index) = peers.iter().position(|peer| !is_peer(peer)) {
            return Err(Invalid::Peer { list, index });
        }
    }
    Ok(policy.enabled.then_some(policy))
}

fn is_peer(peer: &NetworkPolicyPeer) -> bool {
    peer.ip_block.is_some() != (peer.pod_selector.is_some() || peer.namespace_selector.is_some())
}
