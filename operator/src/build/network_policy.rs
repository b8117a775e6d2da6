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
use crate::{
    api::Delivery,
    validate::{Cloud, Fetch, Host, Source, ValidatedService},
};

/// Variables that name a collector of traces, as the server reads them.
const COLLECTORS: [&str; 3] =
    ["MLOPS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Variables that name a proxy, in either case.
const PROXIES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
/// The port of the clouds' servers that hand out tokens.
const HTTPS: i32 = 443;
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
    egress.extend(model(service));
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

/// What who fetches the model calls. An image that the node mounts is the node's to pull.
fn model(service: &ValidatedService) -> Vec<NetworkPolicyEgressRule> {
    if service.source.delivery() != Delivery::Fetched {
        return Vec::new();
    }
    let mut rules: Vec<_> = service.source.host().iter().map(|host| call(&host.name, host.port)).collect();
    rules.extend(service.env.iter().filter_map(proxy));
    if let Source::Fetched(Fetch { origin, .. }) = &service.source {
        if origin.asks_for_a_token() && origin.host().port != HTTPS {
            rules.push(call("", HTTPS));
        }
        rules.extend(origin.identity().into_iter().flat_map(identity));
    }
    rules
}

/// Where a node of a cloud tells a pod who it is: the one use of link-local addresses.
fn identity(cloud: Cloud) -> Vec<NetworkPolicyEgressRule> {
    let places: &[(&[&str], i32)] = match cloud {
        // The metadata of the instance, and EKS Pod Identity.
        Cloud::Aws => &[(&["169.254.169.254/32", "169.254.170.23/32", "fd00:ec2::254/128", "fd00:ec2::23/128"], 80)],
        // GKE's metadata server, with Dataplane V2 and without.
        Cloud::Google => &[(&["169.254.169.254/32"], 80), (&["169.254.169.252/32"], 988)],
        Cloud::Azure => &[(&["169.254.169.254/32"], 80)],
    };
    let rule = |(cidrs, number): &(&[&str], i32)| NetworkPolicyEgressRule {
        to: Some(cidrs.iter().map(|cidr| block((*cidr).to_owned(), &[])).collect()),
        ports: Some(vec![port("TCP", *number)]),
    };
    places.iter().map(rule).collect()
}

/// A proxy by which models are fetched. It may be written without a scheme.
fn proxy(variable: &EnvVar) -> Option<NetworkPolicyEgressRule> {
    if !PROXIES.iter().any(|name| variable.name.eq_ignore_ascii_case(name)) {
        return None;
    }
    let value = variable.value.as_deref()?.trim();
    let proxy: Uri = value.parse().ok()?;
    let default_port = if proxy.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = Host { name: proxy.host()?.to_owned(), port: proxy.port_u16().unwrap_or(default_port).into() };
    (!host.is_link_local()).then(|| call(&host.name, host.port))
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
