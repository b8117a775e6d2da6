//! Who reaches the pods, and whom they reach.

use serde_json::json;

use super::{super::labels, children, full_spec};
use crate::fixtures;

#[test]
fn a_policy_opens_what_the_spec_itself_needs() {
    let egress = |spec| {
        let policy = children(spec).network_policy.unwrap();
        let rules = policy.spec.unwrap().egress.unwrap();
        let port = |rule: &k8s_openapi::api::networking::v1::NetworkPolicyEgressRule| {
            let peers = rule.to.clone().unwrap();
            let cidrs = peers.into_iter().filter_map(|peer| Some(peer.ip_block?.cidr)).collect::<Vec<_>>();
            format!("{}:{}", cidrs.join(" ").replace("0.0.0.0/0 ::/0", ""), json!(rule.ports.as_ref().unwrap()[0].port))
        };
        rules.iter().skip(1).map(port).collect::<Vec<_>>()
    };
    assert_eq!(egress(json!({})), [""; 0]);
    assert_eq!(egress(json!({"cache": {"redis": {"host": "redis"}}})), [":6379"]);
    assert_eq!(egress(json!({"cache": {"redis": {"host": "192.0.2.7", "port": 7000}}})), ["192.0.2.7/32:7000"]);
    assert_eq!(egress(json!({"cache": {"redis": {"host": "2001:db8::7"}}})), ["2001:db8::7/128:6379"]);
    for (endpoint, rule) in [
        ("http://collector:4318", ":4318"),
        ("https://collector.example.com/v1/traces", ":443"),
        ("http://collector", ":80"),
        ("http://192.0.2.9:4317", "192.0.2.9/32:4317"),
        ("http://[2001:db8::9]:4317/", "2001:db8::9/128:4317"),
        ("http://[2001:db8::9]/", "2001:db8::9/128:80"),
    ] {
        let spec = json!({"env": [{"name": "MLOPS_OTLP_ENDPOINT", "value": endpoint}]});
        assert_eq!(egress(spec), [rule], "{endpoint}");
    }
    for (url, rule) in [("https://records.example.com/a", ":443"), ("http://192.0.2.9:8080", "192.0.2.9/32:8080")] {
        assert_eq!(egress(json!({"inferenceLog": {"url": url}})), [rule], "{url}");
    }
    assert_eq!(egress(json!({"inferenceLog": {"stdout": true}})), [""; 0]);
    assert_eq!(children(json!({"networkPolicy": {"enabled": false}})).network_policy, None);
}

#[test]
fn a_host_known_by_name_may_be_anywhere_but_where_metadata_is() {
    let policy = children(json!({"cache": {"redis": {"host": "redis"}}})).network_policy.unwrap();
    let call = json!(policy.spec.unwrap().egress.unwrap()[1]);
    assert_eq!(
        call["to"],
        json!([
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128"]}},
            {"namespaceSelector": {}},
        ])
    );
}

#[test]
fn names_are_asked_of_the_clusters_dns_or_of_what_the_spec_says() {
    let rule = |spec| json!(children(spec).network_policy.unwrap().spec.unwrap().egress.unwrap()[0]);
    let usual = rule(json!({}));
    let ports: Vec<_> = usual["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(ports, [53, 53, 5353, 5353]);
    // No peer is missing a selector: that would be every pod of a namespace, or of all of them.
    let peers = usual["to"].as_array().unwrap();
    assert_eq!(
        peers[0]["podSelector"]["matchExpressions"][0]["values"],
        json!(["kube-dns", "coredns", "node-local-dns"])
    );
    assert!(peers.iter().all(|peer| {
        let namespace = &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
        *namespace == "kube-system"
            || *namespace == "openshift-dns"
            || peer["ipBlock"]["cidr"].as_str().unwrap().ends_with("/32")
    }));
    let elsewhere = json!([{"ipBlock": {"cidr": "192.0.2.53/32"}}]);
    assert_eq!(rule(json!({"networkPolicy": {"dnsTo": elsewhere}}))["to"], elsewhere);
}

#[test]
fn what_is_published_leads_to_the_ports_of_callers_alone() {
    for spec in [json!({}), full_spec()] {
        let ports = children(spec).service.spec.unwrap().ports.unwrap();
        let targets: Vec<_> = ports.iter().map(|port| json!(port.target_port)).collect();
        assert_eq!(targets, ["http", "grpc"]);
    }
}

/// The ports of the Service, each as `NAME:NUMBER:PROTOCOL`, and those that the policy lets in.
fn ports(spec: serde_json::Value) -> (Vec<String>, serde_json::Value) {
    let built = children(spec);
    let of_service = built.service.spec.unwrap().ports.unwrap().into_iter().map(|port| {
        let protocol = port.app_protocol.unwrap_or_default();
        format!("{}:{}:{protocol}", port.name.unwrap(), port.port)
    });
    let policy = built.network_policy.unwrap().spec.unwrap().ingress.unwrap().remove(0);
    let let_in = policy.ports.unwrap().into_iter().map(|port| json!(port.port)).collect();
    (of_service.collect(), let_in)
}

#[test]
fn grpc_has_a_port_of_its_own_where_it_is_served() {
    let (of_service, let_in) = ports(json!({}));
    assert_eq!(of_service, ["http:8000:http", "grpc:8001:kubernetes.io/h2c"]);
    assert_eq!(let_in, json!(["http", "grpc", "management"]));
    let (of_service, let_in) = ports(json!({"protocols": ["native", "kserve"]}));
    assert_eq!(of_service, ["http:8000:http"]);
    assert_eq!(let_in, json!(["http", "management"]));
    let (of_service, _) = ports(json!({"service": {"port": 80, "grpcPort": 443}}));
    assert_eq!(of_service, ["http:80:http", "grpc:443:kubernetes.io/h2c"]);
    // A service from before there was gRPC may have its port there.
    assert_eq!(ports(json!({"service": {"port": 8001}})).0, ["http:8001:http", "grpc:8000:kubernetes.io/h2c"]);
    assert_eq!(ports(json!({"tls": {"secretName": "t"}})).0, ["http:8000:https", "grpc:8001:"]);
}

#[test]
fn a_route_of_grpc_leads_to_the_port_of_grpc() {
    let route = |grpc, port| {
        let route = json!({"parentRefs": [{"name": "public"}], "hostnames": ["reviews.example.com"], "grpc": grpc});
        json!(children(json!({"route": route, "service": {"grpcPort": port}})).grpc_route.unwrap().spec)
    };
    let same = route(json!({}), 443);
    assert_eq!(same["hostnames"], json!(["reviews.example.com"]));
    assert_eq!(same["parentRefs"][0]["name"], "public");
    assert_eq!(same["rules"], json!([{"backendRefs": [{"name": "reviews", "port": 443}]}]));
    let own = route(json!({"hostnames": ["grpc.example.com"]}), 8001);
    assert_eq!(own["hostnames"], json!(["grpc.example.com"]));
    let without = children(json!({"route": {"parentRefs": [{"name": "public"}]}}));
    assert!(without.route.is_some() && without.grpc_route.is_none());
}

#[test]
fn a_second_track_of_pods_is_not_the_deployments_and_not_the_services() {
    let spec = json!({"monitoring": {}, "podMetadata": {"labels": {"team": "insights"}}});
    let built = children(spec);
    let deployment = built.deployment.spec.unwrap();
    let track =
        |labels: Option<&std::collections::BTreeMap<String, String>>| labels.unwrap().get(labels::TRACK).cloned();
    let stable = Some("stable".to_owned());
    assert_eq!(track(deployment.selector.match_labels.as_ref()), stable);
    assert_eq!(track(deployment.template.metadata.unwrap().labels.as_ref()), stable);
    assert_eq!(track(built.service.spec.unwrap().selector.as_ref()), stable);
    let budget = built.disruption_budget.unwrap().spec.unwrap().selector.unwrap();
    assert_eq!(track(budget.match_labels.as_ref()), stable);
    assert!(labels::selector_text(&fixtures::valid(json!({}))).contains("kubesentiment.io/track=stable"));
    // Who may call and who scrapes is the same for each.
    let policy = built.network_policy.unwrap().spec.unwrap().pod_selector.unwrap();
    assert_eq!(track(policy.match_labels.as_ref()), None);
    assert_eq!(track(built.pod_monitor.unwrap().spec.selector.match_labels.as_ref()), None);
}
