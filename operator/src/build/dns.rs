//! Where a cluster's DNS is, as far as that can be told.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicyEgressRule, NetworkPolicyPeer},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};

use super::network_policy::port;
use crate::api::NetworkPolicy;

// Ports of the DNS pods, to which a policy applies, and not to those of the Service before them. The second one is
// OpenShift's.
const PORTS: [i32; 2] = [53, 5353];
/// What the pods are labelled with in `kube-system`, whoever installed them.
const APPLICATIONS: [&str; 3] = ["kube-dns", "coredns", "node-local-dns"];
/// What a cache on the node listens at: by Kubernetes' own manifest, and by kubespray's. They are link-local, as the
/// addresses of a cloud's metadata are, so no more of that range is open than these.
const CACHES: [&str; 2] = ["169.254.20.10/32", "169.254.25.10/32"];

/// The rule for DNS: to where the spec says, else to where it usually is.
pub(super) fn rule(policy: &NetworkPolicy) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(if policy.dns_to.is_empty() { usual() } else { policy.dns_to.clone() }),
        ports: Some(PORTS.iter().flat_map(|number| [port("UDP", *number), port("TCP", *number)]).collect()),
    }
}

fn usual() -> Vec<NetworkPolicyPeer> {
    let applications = LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "k8s-app".to_owned(),
            operator: "In".to_owned(),
            values: Some(APPLICATIONS.map(str::to_owned).to_vec()),
        }]),
        match_labels: None,
    };
    let mut peers = vec![
        NetworkPolicyPeer {
            pod_selector: Some(applications),
            namespace_selector: Some(namespace("kube-system")),
            ip_block: None,
        },
        NetworkPolicyPeer { namespace_selector: Some(namespace("openshift-dns")), ..NetworkPolicyPeer::default() },
    ];
    peers.extend(CACHES.map(|cidr| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: None }),
        ..NetworkPolicyPeer::default()
    }));
    peers
}

/// The API server labels every namespace with its name.
fn namespace(name: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())])),
        ..LabelSelector::default()
    }
}
