//! How the model comes to the pods.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::{children, pod};
use crate::{build, dereference::References, fixtures, validate::ValidatedService};

fn of(source: Value) -> Value {
    json!({"model": {"source": source}})
}

fn fetcher(spec: Value) -> Container {
    let mut containers = pod(spec).init_containers.unwrap();
    assert_eq!(containers.len(), 1);
    containers.remove(0)
}

fn args(spec: Value) -> Vec<String> {
    fetcher(spec).args.unwrap()
}

/// A service whose cluster has image volumes switched off.
fn without_image_volumes(spec: Value) -> ValidatedService {
    let mut service = fixtures::valid(spec);
    service.source.fetch_image();
    service
}

fn egress(spec: Value) -> Vec<Value> {
    let policy = json!(children(spec).network_policy.unwrap());
    policy["spec"]["egress"].as_array().unwrap()[1..].to_vec()
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn the_pods_of_each_source() {
    let secret = json!({"name": "credentials"});
    let image = json!({"image": {"reference": "registry.example.com:5000/models/reviews:3", "path": "en",
        "pullPolicy": "Always", "pullSecrets": [{"name": "models"}]}});
    for (name, source) in [
        ("image", image.clone()),
        ("claim", json!({"persistentVolumeClaim": {"claimName": "models", "path": "reviews/3"}})),
        ("hub", json!({"huggingFace": {"repository": "reviewers/reviews", "tokenSecretRef": {"name": "hub"}}})),
        (
            "s3",
            json!({"s3": {"bucket": "models", "path": "reviews/3", "region": "eu-central-1",
                "endpoint": "http://minio.storage.svc:9000", "variant": "int8", "credentialsSecretRef": secret}}),
        ),
        ("s3-identity", json!({"s3": {"bucket": "models"}})),
        ("gcs", json!({"gcs": {"bucket": "models", "path": "reviews", "credentialsSecretRef": secret}})),
        ("gcs-identity", json!({"gcs": {"bucket": "models"}})),
        (
            "azure",
            json!({"azureBlob": {"account": "acc", "container": "models", "path": "reviews",
                "credentialsSecretRef": secret}}),
        ),
        ("azure-identity", json!({"azureBlob": {"account": "acc", "container": "models"}})),
        (
            "http",
            json!({"http": {"url": "https://models.example.com/reviews.tar.gz", "sha256": DIGEST[7..],
                "headersSecretRef": {"name": "headers"}}}),
        ),
    ] {
        snapshot(name, &build::build(&fixtures::valid(of(source)), &References::default()));
    }
    let fetched = without_image_volumes(json!({
        "image": {"pullSecrets": [{"name": "registry"}]}, "model": {"source": image, "digest": DIGEST},
    }));
    snapshot("fetched-image", &build::build(&fetched, &References::default()));
}

/// What a source changes: the pod but for its scratch space, and what it may call.
fn snapshot(name: &str, children: &build::Children) {
    let pod = children.deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let server = &pod.containers[0];
    let volumes = pod.volumes.iter().flatten().filter(|volume| volume.name.starts_with("model"));
    let env = server.env.iter().flatten().filter(|variable| variable.name.contains("_MODEL_"));
    let mounts = server.volume_mounts.iter().flatten().filter(|mount| mount.name.starts_with("model"));
    let policy = json!(children.network_policy);
    let said = json!({
        "fetcher": pod.init_containers.as_ref().map(|containers| &containers[0]),
        "volumes": volumes.collect::<Vec<_>>(),
        "pullSecrets": pod.image_pull_secrets,
        "server": {"env": env.collect::<Vec<_>>(), "mounts": mounts.collect::<Vec<_>>()},
        "egress": policy["spec"]["egress"].as_array().unwrap()[1..],
    });
    insta::assert_yaml_snapshot!(format!("model-{name}"), said);
}

#[test]
fn what_is_fetched_is_kept_by_what_it_is_and_not_by_who_may_fetch_it() {
    let path = |spec| args(spec)[1].clone();
    let s3 = |fields: Value| {
        let mut source = json!({"bucket": "models"});
        source.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"model": {"source": {"s3": source}}})
    };
    let plain = path(s3(json!({})));
    let key = plain.strip_prefix("/model/").unwrap();
    assert!(key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    assert_eq!(path(s3(json!({"credentialsSecretRef": {"name": "a"}}))), plain);
    for other in
        [json!({"path": "a"}), json!({"region": "eu"}), json!({"endpoint": "http://a"}), json!({"variant": "fp16"})]
    {
        assert_ne!(path(s3(other.clone())), plain, "{other}");
    }
    let mut with_digest = s3(json!({}));
    with_digest["model"]["digest"] = json!(DIGEST);
    assert_ne!(path(with_digest), plain);
    let headers = |name| path(of(json!({"http": {"url": "http://a/b", "headersSecretRef": {"name": name}}})));
    assert_eq!(headers("a"), headers("b"));
}

#[test]
fn what_fetches_takes_no_more_than_the_server_and_may_do_no_more() {
    let pod = pod(json!({
        "model": {"source": {"s3": {"bucket": "abc"}}}, "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "3Gi"}},
    }));
    let (fetcher, server) = (&pod.init_containers.unwrap()[0], &pod.containers[0]);
    assert_eq!(fetcher.resources, server.resources);
    assert_eq!(fetcher.security_context, server.security_context);
    assert_eq!(fetcher.security_context.as_ref().unwrap().read_only_root_filesystem, Some(true));
    assert_eq!((&fetcher.image, &fetcher.image_pull_policy), (&server.image, &server.image_pull_policy));
    assert_eq!(fetcher.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
    assert!(fetcher.ports.is_none() && fetcher.startup_probe.is_none());
}

#[test]
fn what_fetches_goes_out_as_the_server_does_and_knows_none_of_its_secrets() {
    let env = json!([
        {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
        {"name": "no_proxy", "value": ".svc"},
        {"name": "SSL_CERT_FILE", "value": "/app/config/ca.pem"},
        {"name": "MLOPS_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "HF_TOKEN", "value": "mine"},
    ]);
    let spec = json!({
        "model": {"source": {"huggingFace": {"repository": "a/b", "tokenSecretRef": {"name": "hub"}}}},
        "env": env, "envFrom": [{"configMapRef": {"name": "network"}}], "configMapRef": {"name": "settings"},
        "server": {"logLevel": "debug"}, "profile": "Local", "auth": {"apiKeySecretRef": {"name": "clients"}},
    });
    let mut spec = spec;
    spec["env"].as_array_mut().unwrap().retain(|variable| variable["name"] != "MLOPS_API_KEY");
    let fetcher = fetcher(spec.clone());
    let names: Vec<String> = fetcher.env.unwrap().into_iter().map(|variable| variable.name).collect();
    assert_eq!(
        names,
        ["MODEL_FETCH_LOG", "MODEL_FETCH_LOG_FORMAT", "HF_TOKEN", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"]
    );
    assert_eq!(json!(fetcher.env_from), json!([{"configMapRef": {"name": "network"}}]));
    let mounts: Vec<String> = fetcher.volume_mounts.unwrap().into_iter().map(|mount| mount.mount_path).collect();
    assert_eq!(mounts, ["/model", "/app/config"], "the authorities of a network, and not the keys of callers");
    // The proxy has to be reached, too.
    let ports: Vec<Value> = egress(spec).iter().map(|rule| rule["ports"][0]["port"].clone()).collect();
    assert_eq!(ports, [443, 3128]);
}

#[test]
fn a_volume_is_written_by_who_fetches_and_read_by_the_server() {
    let mounts = |spec: Value| {
        let pod = pod(spec);
        let of = |container: &Container| {
            let mounts = container.volume_mounts.iter().flatten();
            mounts.filter(|mount| mount.name == "model").map(|mount| mount.read_only).collect::<Vec<_>>()
        };
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == "model").cloned().unwrap();
        (of(&pod.containers[0]), pod.init_containers.iter().flatten().map(of).collect::<Vec<_>>(), volume)
    };
    let (server, fetcher, volume) = mounts(of(json!({"s3": {"bucket": "abc"}})));
    assert_eq!((server, fetcher), (vec![Some(true)], vec![vec![None]]));
    assert!(volume.empty_dir.is_some());
    let (server, fetcher, volume) = mounts(of(json!({"persistentVolumeClaim": {"claimName": "models"}})));
    assert_eq!((server, fetcher.len()), (vec![Some(true)], 0));
    assert_eq!(volume.persistent_volume_claim.unwrap().read_only, Some(true));
}

#[test]
fn a_claim_that_is_made_is_the_services_own() {
    let cached = |cache: Value| json!({"model": {"source": {"s3": {"bucket": "abc"}}, "cache": cache}});
    let volume = |spec: Value| {
        let volumes = pod(spec).volumes.unwrap();
        let claim = volumes.into_iter().find(|volume| volume.name == "model").unwrap().persistent_volume_claim.unwrap();
        (claim.claim_name, claim.read_only)
    };
    let made = children(cached(json!({"size": "2Gi"})));
    let claim = made.model_claim.unwrap();
    assert_eq!(claim.metadata.name.as_deref(), Some("reviews-model"));
    assert_eq!(claim.metadata.owner_references.unwrap()[0].uid, "00000000-0000-0000-0000-000000000001");
    let spec = json!(claim.spec);
    assert_eq!(spec, json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "2Gi"}}}));
    assert_eq!(volume(cached(json!({"size": "2Gi"}))), ("reviews-model".to_owned(), None));
    assert_eq!(volume(cached(json!({"claimName": "mine"}))), ("mine".to_owned(), None));
    assert_eq!(children(cached(json!({"claimName": "mine"}))).model_claim, None);
    for spec in [json!({}), of(json!({"s3": {"bucket": "abc"}}))] {
        assert_eq!(children(spec).model_claim, None);
    }
}

#[test]
fn a_volume_that_is_kept_changes_hands_once_and_holds_a_node_up_no_more_than_its_cluster_says() {
    let (policy, expendable) = (
        |spec| pod(spec).security_context.unwrap().fs_group_change_policy,
        |spec| {
            let template = children(spec).deployment.spec.unwrap().template.metadata.unwrap();
            template.annotations.unwrap()["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"].clone()
        },
    );
    let cached = json!({"model": {"source": {"s3": {"bucket": "abc"}}, "cache": {"size": "1Gi"}}});
    assert_eq!(policy(cached.clone()).as_deref(), Some("OnRootMismatch"));
    assert_eq!(expendable(cached.clone()), "logs,tmp");
    let mut platform = cached;
    platform["security"] = json!({"userIds": "Platform"});
    assert_eq!(policy(platform), None, "there is no fsGroup of ours");
    let without = of(json!({"s3": {"bucket": "abc"}}));
    assert_eq!(policy(without.clone()), None);
    assert_eq!(expendable(without), "logs,tmp,model");
    assert_eq!(policy(of(json!({"persistentVolumeClaim": {"claimName": "a"}}))), None, "it is only read");
}

#[test]
fn the_server_checks_the_digest_of_any_source() {
    for source in [json!({"builtin": {}}), json!({"image": {"reference": "a"}}), json!({"s3": {"bucket": "abc"}})] {
        let spec = json!({"model": {"source": source, "digest": DIGEST}});
        let env = pod(spec).containers.remove(0).env;
        assert_eq!(super::values(env.as_deref(), "MLOPS_MODEL_DIGEST"), [DIGEST]);
    }
    let env = pod(json!({})).containers.remove(0).env;
    assert_eq!(super::values(env.as_deref(), "MLOPS_MODEL_DIGEST"), [""; 0]);
    assert_eq!(super::values(env.as_deref(), "MLOPS_ONNX_MODEL_PATH"), [""; 0]);
}

#[test]
fn link_local_addresses_are_open_to_a_pods_identity_and_to_nothing_else() {
    let opens = |source| {
        let text = json!(egress(of(source))).to_string();
        // What anywhere leaves out isn't open.
        text.replace(r#""except":["169.254.0.0/16"]"#, "").replace(r#""except":["fe80::/10","fd00:ec2::254/128"]"#, "")
    };
    let secret = json!({"name": "a"});
    for source in [
        json!({"s3": {"bucket": "abc", "credentialsSecretRef": secret}}),
        json!({"gcs": {"bucket": "abc", "credentialsSecretRef": secret}}),
        json!({"azureBlob": {"account": "acc", "container": "abc", "credentialsSecretRef": secret}}),
        json!({"huggingFace": {"repository": "a/b"}}),
        json!({"http": {"url": "http://a/b"}}),
    ] {
        let open = opens(source.clone());
        assert!(!open.contains("169.254.") && !open.contains("fd00:ec2"), "{source}: {open}");
    }
    for (source, places) in [
        (json!({"s3": {"bucket": "abc"}}), ["169.254.169.254/32", "169.254.170.23/32"]),
        (json!({"gcs": {"bucket": "abc"}}), ["169.254.169.254/32", "169.254.169.252/32"]),
        (json!({"azureBlob": {"account": "acc", "container": "abc"}}), ["169.254.169.254/32", "0.0.0.0/0"]),
    ] {
        let open = opens(source.clone());
        assert!(places.iter().all(|place| open.contains(place)), "{source}: {open}");
    }
    // Nothing to open where the node gets the model.
    assert_eq!(egress(of(json!({"image": {"reference": "registry:5000/a"}}))), [Value::Null; 0]);
    assert_eq!(egress(of(json!({"persistentVolumeClaim": {"claimName": "a"}}))), [Value::Null; 0]);
}

#[test]
fn the_port_of_the_endpoint_is_open_and_that_of_the_clouds_tokens() {
    let ports = |source| {
        let rules = egress(of(source));
        rules.iter().map(|rule| rule["ports"][0]["port"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ports(json!({"huggingFace": {"repository": "a", "endpoint": "http://hub:8080"}})), [8080]);
    assert_eq!(
        ports(json!({"s3": {"bucket": "abc", "endpoint": "http://minio:9000",
        "credentialsSecretRef": {"name": "a"}}})),
        [9000]
    );
    assert_eq!(ports(json!({"s3": {"bucket": "abc", "endpoint": "http://minio:9000"}})), [9000, 443, 80]);
    assert_eq!(
        ports(json!({"gcs": {"bucket": "abc", "endpoint": "http://gcs:4443",
        "credentialsSecretRef": {"name": "a"}}})),
        [4443, 443]
    );
    assert_eq!(ports(json!({"http": {"url": "http://models/a.zip"}})), [80]);
    let fetched = without_image_volumes(of(json!({"image": {"reference": "registry:5000/a"}})));
    let policy = json!(build::build(&fetched, &References::default()).network_policy);
    assert_eq!(policy["spec"]["egress"][1]["ports"][0]["port"], 5000);
}
