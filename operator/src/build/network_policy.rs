//! The NetworkPolicy: ports 8000, 8001 and 8081 in; out, DNS and what the spec itself names.

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
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{dns, every_pod, metadata, non_empty, ports};
use crate::validate::ValidatedService;

/// Variables that name a collector of traces, as the server reads them.
const COLLECTORS: [&str; 3] =
    ["MLOPS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// All addresses of a family, and those of them at which a node or a cloud hands out its secrets: what is link-local,
/// and the one of AWS that isn't.
const ANYWHERE: [(&str, &[&str]); 2] =
    [("0.0.0.0/0", &["169.254.0.0/16"]), ("::/0", &["fe80::/10", "fd00:ec2::254/128"])];

pub(super) fn build(service: &ValidatedService) -> Option<NetworkPolicy> {
    let policy = service.network_policy.as_ref()?;
    let mut egress = vec![dns::rule(policy)];
    if let Some(redis) = &service.cache.redis {
        egress.push(call(&redis.host, redis.port));
    }
    egress.extend(service.env.iter().filter_map(collector));
    if let Some(endpoint) = service.inference_log.as_ref().and_then(|log| log.endpoint.as_ref()) {
        egress.push(call(&endpoint.host, endpoint.port));
    }
    if !policy.egress_to.is_empty() {
        egress.push(NetworkPolicyEgressRule { to: Some(policy.egress_to.clone()), ports: None });
    }
    Some(NetworkPolicy {
        metadata: metadata(service),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(every_pod(service)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: non_empty(policy.ingress_from.clone()),
                ports: Some(ports::of_callers(service).chain([ports::MANAGEMENT]).map(named_port).collect()),
            }]),
            egress: Some(egress),
        }),
    })
}

/// A connection to a host. A policy knows addresses and no names: of a host with a name only the
/// port is known.
fn call(host: &str, to_port: i32) -> NetworkPolicyEgressRule {
    let peers = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => vec![block(format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }), &[])],
        Err(_) => anywhere(),
    };
    NetworkPolicyEgressRule { to: Some(peers), ports: Some(vec![port("TCP", to_port)]) }
}

/// Every address but those of metadata; and every pod, since some network plugins take no pod's address for one of a
/// block.
fn anywhere() -> Vec<NetworkPolicyPeer> {
    let blocks = ANYWHERE.iter().map(|(cidr, except)| block((*cidr).to_owned(), except));
    let pods = NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    blocks.chain([pods]).collect()
}

fn block(cidr: String, except: &[&str]) -> NetworkPolicyPeer {
    let except = non_empty(except.iter().map(ToString::to_string).collect());
    NetworkPolicyPeer { ip_block: Some(IPBlock { cidr, except }), ..NetworkPolicyPeer::default() }
}

fn collector(variable: &EnvVar) -> Option<NetworkPolicyEgressRule> {
    if !COLLECTORS.contains(&variable.name.as_str()) {
        return None;
    }
    let endpoint: Uri = variable.value.as_deref()?.parse().ok()?;
    let default_port = if endpoint.scheme()? == &Scheme::HTTPS { 443 } else { 80 };
    Some(call(endpoint.host()?, endpoint.port_u16().unwrap_or(default_port).into()))
}

pub(super) fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { port: Some(IntOrString::Int(number)), protocol: Some(protocol.to_owned()), end_port: None }
}

fn named_port(name: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}
