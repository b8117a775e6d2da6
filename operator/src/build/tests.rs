//! A snapshot of every child, of the smallest and of the largest spec.

mod models;
mod pods;
mod reached;

use k8s_openapi::api::core::v1::{EnvVar, PodSpec};
use serde_json::{Value, json};

use super::*;
use crate::fixtures;

fn children(spec: Value) -> Children {
    let service = fixtures::valid(spec);
    // As if the ConfigMap were there.
    let references = References { config_hash: service.config_map.as_ref().map(|_| "0123456789abcdef".to_owned()) };
    build(&service, &references)
}

fn pod(spec: Value) -> PodSpec {
    children(spec).deployment.spec.unwrap().template.spec.unwrap()
}

/// The values of all variables of a name.
fn values<'a>(env: Option<&'a [EnvVar]>, name: &str) -> Vec<&'a str> {
    let found = env.unwrap().iter().filter(|variable| variable.name == name);
    found.map(|variable| variable.value.as_deref().unwrap()).collect()
}

#[expect(clippy::too_many_lines, reason = "every field")]
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
            "name": "reviews-en", "maxTokens": 128, "labels": ["BAD", "GOOD"], "neutralBand": 0.6,
            "source": {"huggingFace": {
                "repository": "reviewers/reviews-en", "revision": "5f1c3e0", "variant": "int8",
                "tokenSecretRef": {"name": "hub"}, "endpoint": "https://hub.example.com:8443",
            }},
            "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "cache": {"size": "2Gi", "storageClassName": "shared", "accessMode": "ReadWriteMany"},
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
        "rollout": {"maxSurge": "25%", "maxUnavailable": 1},
        "resources": {"requests": {"cpu": 1, "memory": "768Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
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
        "protocols": ["oip", "native", "grpc"],
        "tls": {"secretName": "reviews-tls", "clientCASecretRef": {"name": "callers"}},
        "auth": {
            "apiKeySecretRef": {"name": "reviews-keys", "key": "current"},
            "limits": [
                {"name": "shop", "requestsPerSecond": 10, "burst": 20, "concurrency": 4},
                {"name": "*", "concurrency": 1},
            ],
        },
        "inferenceLog": {
            "url": "https://records.example.com:8443/sentiment", "stdout": true, "sampleRatio": 0.25,
            "includeText": true, "capacity": 500, "headersSecretRef": {"name": "records"},
            "caSecretRef": {"name": "authority", "key": "root.pem"},
        },
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
            "grpc": {},
        },
        "disruptionBudget": {"minAvailable": "50%"},
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"team": "insights"}}}],
            "egressTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
            "dnsTo": [{"ipBlock": {"cidr": "192.0.2.53/32"}}],
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
        insta::assert_yaml_snapshot!(concat!($spec, "-persistent-volume-claim"), children.model_claim);
        insta::assert_yaml_snapshot!(concat!($spec, "-service"), children.service);
        insta::assert_yaml_snapshot!(concat!($spec, "-deployment"), children.deployment);
        insta::assert_yaml_snapshot!(concat!($spec, "-horizontal-pod-autoscaler"), children.autoscaler);
        insta::assert_yaml_snapshot!(concat!($spec, "-pod-disruption-budget"), children.disruption_budget);
        insta::assert_yaml_snapshot!(concat!($spec, "-pod-monitor"), children.pod_monitor);
        insta::assert_yaml_snapshot!(concat!($spec, "-http-route"), children.route);
        insta::assert_yaml_snapshot!(concat!($spec, "-grpc-route"), children.grpc_route);
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
fn nothing_but_the_spec_moves_the_server_away_from_its_probes() {
    let spec = json!({
        "envFrom": [{"configMapRef": {"name": "of-version-one"}}],
        "configMapRef": {"name": "settings"},
        "env": [{"name": "MLOPS_DEBUG", "value": " "}],
        "monitoring": {},
    });
    let built = children(spec);
    let container = built.deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
    for (name, value) in [
        ("MLOPS_HOST", ""),
        ("MLOPS_PORT", "8000"),
        ("MLOPS_GRPC_PORT", "8001"),
        ("MLOPS_MANAGEMENT_PORT", "8081"),
        ("MLOPS_DEBUG", "false"),
    ] {
        assert_eq!(values(container.env.as_deref(), name), [value], "{name}");
    }
    let ports: Vec<_> =
        container.ports.unwrap().into_iter().map(|port| (port.name.unwrap(), port.container_port)).collect();
    let expected = [("http", 8000), ("grpc", 8001), ("management", 8081)];
    assert_eq!(ports, expected.map(|(name, number)| (name.to_owned(), number)));
    for probe in [container.startup_probe, container.liveness_probe, container.readiness_probe] {
        let asked = probe.unwrap().http_get.unwrap();
        assert_eq!(json!(asked.port), "management");
        assert!(asked.path.unwrap().starts_with("/api/v1/"));
    }
    assert_eq!(built.pod_monitor.unwrap().spec.pod_metrics_endpoints[0].port, "management");
}

#[test]
fn a_users_variable_replaces_the_operators() {
    let of = |name: &str, value: &str| {
        let env = pod(json!({"env": [{"name": name, "value": value}]})).containers.remove(0).env.unwrap();
        let values = env.into_iter().filter(|variable| variable.name == name);
        values.map(|variable| variable.value.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("MLOPS_PROFILE", "local"), ["local"]);
    // What is no answer to a question is the server's to refuse, in its own words.
    assert_eq!(of("MLOPS_DEBUG", "maybe"), ["maybe"]);
}

#[test]
fn one_pod_needs_no_budget() {
    let budget = |spec| children(spec).disruption_budget.is_some();
    assert!(budget(json!({})));
    assert!(!budget(json!({"replicas": 1})));
    assert!(budget(json!({"replicas": 1, "disruptionBudget": {"maxUnavailable": 1}})));
    assert!(budget(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}})));
    assert!(budget(json!({"suspend": true})), "what is suspended comes back");
    assert!(budget(json!({"autoscaling": {"external": {}}})), "there may be many");
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
fn what_scales_the_deployment_finds_no_number_and_no_autoscaler_of_ours() {
    let built = children(json!({"autoscaling": {"external": {}}}));
    assert_eq!((built.deployment.spec.unwrap().replicas, built.autoscaler), (None, None));
    let suspended = children(json!({"autoscaling": {"external": {}}, "suspend": true}));
    assert_eq!(suspended.deployment.spec.unwrap().replicas, Some(0));
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
    assert_eq!(values(container.env.as_deref(), "MLOPS_DEBUG"), ["true"]);
    let path = container.env.unwrap().into_iter().find(|variable| variable.name == "HEALTHCHECK_PATH");
    assert_eq!(path.unwrap().value.as_deref(), Some("/health"));
}
