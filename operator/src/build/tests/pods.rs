//! As whom the pods run, where, and with what.

use serde_json::{Value, json};

use super::{children, full_spec, pod, values};

#[test]
fn a_secret_that_is_asked_for_is_never_left_out() {
    let mut pod = pod(full_spec());
    let container = pod.containers.remove(0);
    // Kubernetes lets a variable of env win over one of envFrom.
    assert!(container.env_from.is_some());
    for (name, volume, secret, key) in [
        ("MLOPS_API_KEY_FILE", "api-key", "reviews-keys", "current"),
        ("MLOPS_REDIS_PASSWORD_FILE", "redis-password", "redis", "password"),
        ("MLOPS_TLS_CERT_FILE", "tls", "reviews-tls", "tls.crt"),
        ("MLOPS_TLS_KEY_FILE", "tls", "reviews-tls", "tls.key"),
        ("MLOPS_TLS_CLIENT_CA_FILE", "tls-client-ca", "callers", "ca.crt"),
        ("MLOPS_INFERENCE_LOG_HEADERS_FILE", "inference-log-headers", "records", "headers"),
        ("MLOPS_INFERENCE_LOG_CA", "inference-log-ca", "authority", "root.pem"),
    ] {
        let found: Vec<_> = container.env.iter().flatten().filter(|variable| variable.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == volume).unwrap();
        // The kubelet brings a change to a folder, and to no file of it that is mounted by itself.
        assert_eq!((mount.read_only, &mount.sub_path), (Some(true), &None));
        let source = pod.volumes.iter().flatten().find(|one| one.name == volume).unwrap().secret.as_ref().unwrap();
        let item = source.items.iter().flatten().find(|item| item.key == key).unwrap();
        assert_eq!((source.secret_name.as_deref(), source.optional), (Some(secret), Some(false)));
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
fn a_stopping_pod_has_time_to_drain_and_to_answer() {
    assert_eq!(pod(json!({})).termination_grace_period_seconds, Some(40));
    let slow = json!({"server": {"drainSeconds": 20, "requestTimeout": 120}});
    assert_eq!(pod(slow).termination_grace_period_seconds, Some(145));
}

#[test]
fn a_renewed_certificate_is_no_reason_to_roll_and_probes_stay_without() {
    let with = pod(json!({"tls": {"secretName": "reviews-tls"}})).containers.remove(0);
    let without = pod(json!({})).containers.remove(0);
    assert_eq!(with.readiness_probe, without.readiness_probe, "the port for those who run it stays plain HTTP");
    assert_eq!(with.liveness_probe, without.liveness_probe);
    let built = children(full_spec());
    let annotations = built.deployment.spec.unwrap().template.metadata.unwrap().annotations.unwrap_or_default();
    assert!(annotations.keys().all(|key| !key.contains("tls")), "{annotations:?}");
}

#[test]
fn protocols_are_named_in_an_order_of_their_own() {
    let env = |spec| pod(spec).containers.remove(0).env;
    for (protocols, named) in [
        (json!(["grpc", "native"]), "native,grpc"),
        (json!(["vllm", "tei", "kserve", "oip", "native"]), "native,oip,kserve,tei,vllm"),
    ] {
        assert_eq!(values(env(json!({"protocols": protocols})).as_deref(), "MLOPS_PROTOCOLS"), [named]);
    }
    assert_eq!(values(env(json!({})).as_deref(), "MLOPS_PROTOCOLS"), [""; 0]);
    assert_eq!(values(env(json!({"protocols": ["native"]})).as_deref(), "MLOPS_GRPC_PORT"), [""; 0]);
}

#[test]
fn limits_of_keys_are_told_in_the_servers_words() {
    let env = pod(full_spec()).containers.remove(0).env;
    let limits = values(env.as_deref(), "MLOPS_API_KEY_LIMITS").remove(0);
    assert_eq!(
        serde_json::from_str::<Value>(limits).unwrap(),
        json!([
            {"name": "shop", "requestsPerSecond": 10, "burst": 20, "concurrency": 4}, {"name": "*", "concurrency": 1},
        ])
    );
}
