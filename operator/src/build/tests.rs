//! A snapshot of every child, of the smallest and of the largest spec.

use serde_json::{Value, json};

use super::*;
use crate::fixtures;

fn children(spec: Value) -> Children {
    let service = fixtures::valid(spec);
    // As if the ConfigMap were there.
    let references = References { config_hash: service.config_map.as_ref().map(|_| "0123456789abcdef".to_owned()) };
    build(&service, &references)
}

fn full_spec() -> Value {
    json!({
        "image": {
            "repository": "registry.example.com/sentiment-service",
            "tag": "1.2.3",
            "pullPolicy": "Always",
            "pullSecrets": [{"name": "registry"}],
            "debug": true,
        },
        "profile": "Staging",
        "model": {
            "name": "reviews-en", "source": {"builtin": {}}, "maxTokens": 128, "labels": ["BAD", "GOOD"], "neutralBand": 0.6,
        },
        "autoscaling": {
            "minReplicas": 3,
            "maxReplicas": 12,
            "targetCPUUtilizationPercentage": 70,
            "targetMemoryUtilizationPercentage": 90,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": "sentiment_active_requests"}, "target": {"type": "AverageValue", "averageValue": "8"},
            }}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120}},
        },
        "resources": {"requests": {"cpu": 1}, "limits": {"cpu": "2", "memory": "2Gi"}},
        "server": {
            "batching": {"maxBatchTokens": 4096, "maxBatchSize": 32, "queueCapacity": 512},
            "threads": 2,
            "requestTimeout": 10,
            "maxTextLength": 2000,
            "logLevel": "debug",
            "allowedOrigins": ["https://shop.example.com"],
            "drainSeconds": 8,
        },
        "cache": {
            "memory": {"maxEntries": 5000},
            "redis": {
                "host": "redis.cache.svc", "port": 6380, "database": 2, "tls": true, "ttl": 600,
                "passwordSecretRef": {"name": "redis"},
            },
        },
        "auth": {"apiKeySecretRef": {"name": "reviews-keys", "key": "current"}},
        "probes": {
            "startup": {"failureThreshold": 300},
            "liveness": {"initialDelaySeconds": 60, "periodSeconds": 30, "timeoutSeconds": 10},
            "readiness": {"periodSeconds": 2},
        },
        "env": [
            {"name": "MLOPS_LOG_LEVEL", "value": "trace"},
            {"name": "MLOPS_OTLP_ENDPOINT", "value": "http://collector.tracing.svc:4318"},
        ],
        "envFrom": [{"configMapRef": {"name": "shared"}}],
        "configMapRef": {"name": "reviews-config"},
        "service": {"type": "LoadBalancer", "port": 80, "sessionAffinity": "ClientIP", "annotations": {"example.com/internal": "true"}},
        "route": {
            "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
            "hostnames": ["reviews.example.com"],
            "path": "/reviews",
        },
        "disruptionBudget": {"minAvailable": "50%"},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"team": "insights"}}}],
            "egressTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
        },
        "monitoring": {"interval": "15s", "labels": {"release": "prometheus"}},
        "scheduling": {
            "nodeSelector": {"pool": "inference"},
            "tolerations": [{"key": "inference", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"noisy": "true"}}},
            }]}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
            ],
            "priorityClassName": "serving",
            "runtimeClassName": "gvisor",
        },
        "serviceAccountName": "reviews-pods",
        "podMetadata": {"labels": {"team": "insights"}, "annotations": {"example.com/note": "hello"}},
    })
}

/// A snapshot of each child, and one that says which children there are none of.
macro_rules! assert_children {
    ($spec:literal, $children:expr) => {
        let children = $children;
        insta::assert_yaml_snapshot!(concat!($spec, "-service-account"), children.service_account);
        insta::assert_yaml_snapshot!(concat!($spec, "-network-policy"), children.network_policy);
        insta::assert_yaml_snapshot!(concat!($spec, "-service"), children.service);
        insta::assert_yaml_snapshot!(concat!($spec, "-deployment"), children.deployment);
        insta::assert_yaml_snapshot!(concat!($spec, "-horizontal-pod-autoscaler"), children.autoscaler);
        insta::assert_yaml_snapshot!(concat!($spec, "-pod-disruption-budget"), children.disruption_budget);
        insta::assert_yaml_snapshot!(concat!($spec, "-pod-monitor"), children.pod_monitor);
        insta::assert_yaml_snapshot!(concat!($spec, "-http-route"), children.route);
    };
}

#[test]
fn every_child_of_the_empty_spec() {
    assert_children!("empty", children(json!({})));
}

#[test]
fn every_child_of_the_full_spec() {
    assert_children!("full", children(full_spec()));
}

#[test]
fn building_twice_gives_the_same() {
    assert_eq!(children(full_spec()), children(full_spec()));
}

#[test]
fn no_field_of_the_spec_moves_the_selector() {
    let selector = |spec| children(spec).deployment.spec.unwrap().selector;
    assert_eq!(selector(json!({})), selector(full_spec()));
}

#[test]
fn a_users_variable_replaces_the_operators() {
    let deployment = children(json!({"env": [{"name": "MLOPS_PROFILE", "value": "local"}]})).deployment;
    let env = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).env.unwrap();
    let values: Vec<_> = env.iter().filter(|v| v.name == "MLOPS_PROFILE").map(|v| v.value.as_deref()).collect();
    assert_eq!(values, [Some("local")]);
}

#[test]
fn a_secret_that_is_asked_for_is_never_left_out() {
    let deployment = children(full_spec()).deployment;
    let container = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
    // Kubernetes lets a variable of env win over one of envFrom.
    assert!(container.env_from.is_some());
    for (name, secret, key) in
        [("MLOPS_API_KEY", "reviews-keys", "current"), ("MLOPS_REDIS_PASSWORD", "redis", "password")]
    {
        let found: Vec<_> = container.env.iter().flatten().filter(|variable| variable.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        let reference = found[0].value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap();
        assert_eq!((reference.name.as_str(), reference.key.as_str(), reference.optional), (secret, key, Some(false)));
    }
}

#[test]
fn a_stopping_pod_has_time_to_drain_and_to_answer() {
    let pod = |spec| children(spec).deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod(json!({})).termination_grace_period_seconds, Some(40));
    let slow = json!({"server": {"drainSeconds": 20, "requestTimeout": 120}});
    assert_eq!(pod(slow).termination_grace_period_seconds, Some(145));
}

#[test]
fn a_policy_opens_what_the_spec_itself_needs() {
    let egress = |spec| {
        let policy = children(spec).network_policy.unwrap();
        let rules = policy.spec.unwrap().egress.unwrap();
        let port = |rule: &k8s_openapi::api::networking::v1::NetworkPolicyEgressRule| {
            let peers = rule.to.clone().unwrap_or_default();
            let cidr = peers.into_iter().find_map(|peer| Some(peer.ip_block?.cidr)).unwrap_or_default();
            format!("{cidr}:{}", json!(rule.ports.as_ref().unwrap()[0].port))
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
    assert_eq!(children(json!({"networkPolicy": {"enabled": false}})).network_policy, None);
}

#[test]
fn one_pod_needs_no_budget() {
    let budget = |spec| children(spec).disruption_budget.is_some();
    assert!(budget(json!({})));
    assert!(!budget(json!({"replicas": 1})));
    assert!(budget(json!({"replicas": 1, "disruptionBudget": {"maxUnavailable": 1}})));
    assert!(budget(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}})));
    assert!(budget(json!({"suspend": true})), "what is suspended comes back");
}

#[test]
fn an_autoscaler_owns_the_number_of_pods() {
    let replicas = |spec| children(spec).deployment.spec.unwrap().replicas;
    let spec = json!({"autoscaling": {"maxReplicas": 4}});
    assert_eq!(replicas(spec.clone()), None);
    let mut suspended = spec.clone();
    suspended["suspend"] = json!(true);
    assert_eq!(replicas(suspended), Some(0));
    let autoscaler = children(spec).autoscaler.unwrap().spec.unwrap();
    assert_eq!((autoscaler.min_replicas, autoscaler.max_replicas), (Some(2), 4));
    let metric = autoscaler.metrics.unwrap().remove(0).resource.unwrap();
    assert_eq!((metric.name.as_str(), metric.target.average_utilization), ("cpu", Some(80)));
}

#[test]
fn a_cache_of_no_answers_is_turned_off() {
    let env = |spec| {
        let pod = children(spec).deployment.spec.unwrap().template.spec.unwrap();
        let env = pod.containers.into_iter().next().unwrap().env.unwrap();
        let cache = env.into_iter().filter(|variable| variable.name.contains("CACHE"));
        cache.map(|variable| format!("{}={}", variable.name, variable.value.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(env(json!({})), [""; 0]);
    assert_eq!(env(json!({"cache": {"memory": {"maxEntries": 0}}})), ["MLOPS_PREDICTION_CACHE_ENABLED=false"]);
    assert_eq!(
        env(json!({"cache": {"memory": {"maxEntries": 9}}})),
        ["MLOPS_PREDICTION_CACHE_ENABLED=true", "MLOPS_PREDICTION_CACHE_MAX_SIZE=9"]
    );
}

#[test]
fn the_content_of_the_config_map_is_part_of_the_template() {
    let template = |hash: &str| {
        let service = fixtures::valid(json!({"configMapRef": {"name": "c"}}));
        let references = References { config_hash: Some(hash.to_owned()) };
        build(&service, &references).deployment.spec.unwrap().template
    };
    assert_ne!(template("1"), template("2"));
}

#[test]
fn debug_routes_move_every_path() {
    let children = children(json!({"env": [{"name": "MLOPS_DEBUG", "value": "true"}], "monitoring": {}}));
    assert_eq!(children.pod_monitor.unwrap().spec.pod_metrics_endpoints[0].path, "/metrics");
    let container = children.deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
    assert_eq!(container.readiness_probe.unwrap().http_get.unwrap().path.as_deref(), Some("/ready"));
    let path = container.env.unwrap().into_iter().find(|variable| variable.name == "HEALTHCHECK_PATH");
    assert_eq!(path.unwrap().value.as_deref(), Some("/health"));
}
