//! A snapshot of every child, of the smallest and of the largest spec.

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
        "rollout": {"maxSurge": "25%", "maxUnavailable": 1},
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
fn nothing_but_the_spec_moves_the_server_away_from_its_probes() {
    let spec = json!({
        "envFrom": [{"configMapRef": {"name": "of-version-one"}}],
        "configMapRef": {"name": "settings"},
        "env": [{"name": "MLOPS_DEBUG", "value": " "}],
        "monitoring": {},
    });
    let built = children(spec);
    let container = built.deployment.spec.unwrap().template.spec.unwrap().containers.remove(0);
    for (name, value) in
        [("MLOPS_HOST", ""), ("MLOPS_PORT", "8000"), ("MLOPS_MANAGEMENT_PORT", "8081"), ("MLOPS_DEBUG", "false")]
    {
        assert_eq!(values(container.env.as_deref(), name), [value], "{name}");
    }
    let ports: Vec<_> =
        container.ports.unwrap().into_iter().map(|port| (port.name.unwrap(), port.container_port)).collect();
    assert_eq!(ports, [("http".to_owned(), 8000), ("management".to_owned(), 8081)]);
    for probe in [container.startup_probe, container.liveness_probe, container.readiness_probe] {
        let asked = probe.unwrap().http_get.unwrap();
        assert_eq!(json!(asked.port), "management");
        assert!(asked.path.unwrap().starts_with("/api/v1/"));
    }
    assert_eq!(built.pod_monitor.unwrap().spec.pod_metrics_endpoints[0].port, "management");
}

#[test]
fn what_is_published_leads_to_the_callers_port_alone() {
    for spec in [json!({}), full_spec()] {
        let ports = children(spec).service.spec.unwrap().ports.unwrap();
        let targets: Vec<_> = ports.iter().map(|port| json!(port.target_port)).collect();
        assert_eq!(targets, ["http"]);
    }
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

#[test]
fn the_platform_may_choose_the_ids_and_nothing_else_is_loosened() {
    let [fixed, platform] = ["Fixed", "Platform"].map(|ids| json!(pod(json!({"security": {"userIds": ids}}))));
    assert_eq!(fixed, json!(pod(json!({}))));
    let mut without = fixed;
    for place in ["/securityContext", "/containers/0/securityContext"] {
        let context = without.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        context.retain(|key, _| !["runAsUser", "runAsGroup", "fsGroup"].contains(&key.as_str()));
        assert_eq!(context["runAsNonRoot"], true);
    }
    assert_eq!(platform, without);
}

#[test]
fn pods_go_to_nodes_that_can_run_the_image() {
    let required = |spec| {
        let affinity = json!(pod(spec).affinity);
        affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].clone()
    };
    let arch = json!({"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]});
    assert_eq!(required(json!({})), json!([{"matchExpressions": [arch]}]));
    assert_eq!(required(json!({"image": {"tag": "mine"}})), Value::Null);

    // One of the user's terms is enough for a node, so each gets the requirement; an empty one matches no node.
    let pool = json!({"key": "pool", "operator": "Exists"});
    let name = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
    let terms = json!([{"matchExpressions": [pool]}, {"matchFields": [name]}, {}]);
    let given = json!({"scheduling": {"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
    }}}});
    assert_eq!(
        required(given),
        json!([{"matchExpressions": [pool, arch]}, {"matchExpressions": [arch], "matchFields": [name]}, {}])
    );

    let selector = |given: Value| json!(pod(json!({"scheduling": {"nodeSelector": given}})).node_selector);
    assert_eq!(selector(json!({"pool": "a"})), json!({"kubernetes.io/os": "linux", "pool": "a"}));
    assert_eq!(selector(json!({"kubernetes.io/os": "windows"})), json!({"kubernetes.io/os": "windows"}));
}

#[test]
fn a_node_can_be_emptied_in_spite_of_the_pods_scratch_space() {
    let annotation = |spec| {
        let template = children(spec).deployment.spec.unwrap().template;
        template.metadata.unwrap().annotations.unwrap()["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"]
            .clone()
    };
    assert_eq!(annotation(json!({})), "logs,tmp");
    let own = json!({"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "logs"});
    assert_eq!(annotation(json!({"podMetadata": {"annotations": own}})), "logs");
}

#[test]
fn resources_without_an_entry_are_left_out() {
    let resources = |spec| json!(pod(spec).containers.remove(0).resources);
    let spec = json!({"resources": {"requests": {"cpu": "1500m"}, "limits": {}}});
    assert_eq!(resources(spec.clone()), json!({"requests": {"cpu": "1500m"}}));
    assert_eq!(values(pod(spec).containers.remove(0).env.as_deref(), "MLOPS_THREADS"), ["2"]);
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
    let mut pod = pod(full_spec());
    let container = pod.containers.remove(0);
    // Kubernetes lets a variable of env win over one of envFrom.
    assert!(container.env_from.is_some());
    for (name, volume, secret, key) in [
        ("MLOPS_API_KEY_FILE", "api-key", "reviews-keys", "current"),
        ("MLOPS_REDIS_PASSWORD_FILE", "redis-password", "redis", "password"),
    ] {
        let found: Vec<_> = container.env.iter().flatten().filter(|variable| variable.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == volume).unwrap();
        // The kubelet brings a change to a folder, and to no file of it that is mounted by itself.
        assert_eq!((mount.read_only, &mount.sub_path), (Some(true), &None));
        let source = pod.volumes.iter().flatten().find(|one| one.name == volume).unwrap().secret.as_ref().unwrap();
        let item = &source.items.as_ref().unwrap()[0];
        assert_eq!((source.secret_name.as_deref(), source.optional), (Some(secret), Some(false)));
        assert_eq!(item.key, key);
        assert_eq!(found[0].value.as_deref(), Some(format!("{}/{}", mount.mount_path, item.path).as_str()));
    }
}

#[test]
fn a_secret_can_be_read_by_whoever_the_pod_runs_as() {
    let mode = |ids: &str| {
        let spec = json!({"auth": {"apiKeySecretRef": {"name": "keys"}}, "security": {"userIds": ids}});
        let volumes = pod(spec).volumes.unwrap();
        volumes.iter().find_map(|volume| volume.secret.as_ref()?.default_mode).unwrap()
    };
    assert_eq!(mode("Fixed"), 0o440);
    assert_eq!(mode("Platform"), 0o444, "there may be no fsGroup");
}

#[test]
fn a_stopping_pod_has_time_to_drain_and_to_answer() {
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
