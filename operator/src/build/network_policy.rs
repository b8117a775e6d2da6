//! The NetworkPolicy: port 8000 in; out, DNS and what the spec itself names.

use std::net::IpAddr;

use http::{Uri, uri::Scheme};
use k8s_openapi::{
    api::{
        core::v1::EnvVar,
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
            NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{deployment::PORT_NAME, metadata, non_empty, pod_selector};
use crate::validate::ValidatedService;

// Ports of the DNS pods, to which a policy applies, and not to those of the Service before them. The second one is
// OpenShift's.
const DNS: [i32; 2] = [53, 5353];
/// Variables that name a collector of traces, as the server reads them.
const COLLECTORS: [&str; 3] =
    ["MLOPS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

pub(super) fn build(service: &ValidatedService) -> Option<NetworkPolicy> {
    let policy = service.network_policy.as_ref()?;
    let mut egress = vec![NetworkPolicyEgressRule {
        // Wherever the cluster's DNS is: a pod, a cache on the node, or a host outside.
        to: None,
        ports: Some(DNS.iter().flat_map(|number| [port("UDP", *number), port("TCP", *number)]).collect()),
    }];
    if let Some(redis) = &service.cache.redis {
        egress.push(call(&redis.host, redis.port));
    }
    egress.extend(service.env.iter().filter_map(collector));
    if !policy.egress_to.is_empty() {
        egress.push(NetworkPolicyEgressRule { to: Some(policy.egress_to.clone()), ports: None });
    }
    Some(NetworkPolicy {
        metadata: metadata(service),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector(service)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: non_empty(policy.ingress_from.clone()),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::String(PORT_NAME.to_owned())),
                    protocol: Some("TCP".to_owned()),
                    end_port: None,
                }]),
            }]),
            egress: Some(egress),
        }),
    })
}

/// A connection to a host. A policy knows addresses and no names: of a host with a name only the
/// port is known.
fn call(host: &str, to_port: i32) -> NetworkPolicyEgressRule {
    let block = host.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|address| IPBlock {
        cidr: format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
        except: None,
    });
    NetworkPolicyEgressRule {
        to: block.map(|block| vec![NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() }]),
        ports: Some(vec![port("TCP", to_port)]),
    }
}

fn collector(variable: &EnvVar) -> Option<NetworkPolicyEgressRule> {
    if !COLLECTORS.contains(&variable.name.as_str()) {
        return None;
    }
    let endpoint: Uri = variable.value.as_deref()?.parse().ok()?;
    let default_port = if endpoint.scheme()? == &Scheme::HTTPS { 443 } else { 80 };
    Some(call(endpoint.host()?, endpoint.port_u16().unwrap_or(default_port).into()))
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { port: Some(IntOrString::Int(number)), protocol: Some(protocol.to_owned()), end_port: None }
}
