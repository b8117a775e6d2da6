use serde_json::json;

use super::*;
use crate::{
    api::Quantity,
    fixtures::{default_image, service},
};

fn check(spec: serde_json::Value) -> Result<ValidatedService, Invalid> {
    validate(&service(spec), &default_image())
}

fn quantities(pairs: &[(&str, &str)]) -> QuantityMap {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Quantity::new(*text))).collect()
}

#[test]
fn an_empty_spec_is_a_working_service() {
    let valid = check(json!({})).unwrap();
    assert_eq!(valid.replicas(), Some(2));
    assert_eq!(valid.image.to_string(), "sentiment-service:distroless");
    assert_eq!(valid.profile, Profile::Production);
    assert_eq!(valid.model_name, "default");
    assert_eq!(valid.requests, quantities(&[("cpu", "250m"), ("memory", "512Mi")]));
    assert_eq!(valid.limits, quantities(&[("cpu", "500m"), ("memory", "1Gi")]));
    assert_eq!(valid.owner.uid, "00000000-0000-0000-0000-000000000001");
    assert_eq!(valid.owner.controller, Some(true));
}

#[test]
fn suspending_runs_nothing() {
    let valid = check(json!({"suspend": true, "replicas": 5})).unwrap();
    assert_eq!((valid.replicas(), valid.suspended), (Some(0), true));
}

#[test]
fn default_resources_give_way_to_a_given_map() {
    let small = check(json!({"resources": {"limits": {"memory": "256Mi", "cpu": 2}}})).unwrap();
    assert_eq!(small.requests, quantities(&[("cpu", "250m"), ("memory", "256Mi")]));
    let large = check(json!({"resources": {"requests": {"memory": "4Gi"}}})).unwrap();
    assert_eq!(large.limits, quantities(&[("cpu", "500m"), ("memory", "4Gi")]));
}

#[test]
fn a_given_map_of_resources_stands_as_it_is_written() {
    let both = check(json!({"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}})).unwrap();
    assert_eq!((both.requests, both.limits), (quantities(&[("cpu", "1")]), quantities(&[("memory", "1Gi")])));
    let none = check(json!({"resources": {"limits": {}}})).unwrap();
    assert_eq!(none.requests, quantities(&[("cpu", "250m"), ("memory", "512Mi")]));
    assert_eq!(none.limits, quantities(&[]));
}

#[test]
fn without_a_cpu_limit_the_threads_follow_the_request() {
    let threads = |spec| check(spec).unwrap().threads;
    let request = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"memory": "1Gi"}});
    for (cpu, count) in [("1", 1), ("1001m", 2), ("2500m", 3), ("10m", 1), ("0", 1), ("900", 256)] {
        assert_eq!(threads(json!({"resources": request(cpu)})), Some(count), "{cpu}");
    }
    assert_eq!(threads(json!({"resources": {"limits": {}}})), Some(1));
    assert_eq!(threads(json!({"resources": {"requests": {"memory": "1Gi"}, "limits": {}}})), Some(1));
    assert_eq!(threads(json!({"resources": {"limits": {"cpu": "0"}}})), Some(1), "to the kubelet 0 is no limit");
    // The server finds them from its limit.
    assert_eq!(threads(json!({})), None);
    assert_eq!(threads(json!({"resources": {"limits": {"cpu": "2"}}})), None);
    // Who says a number is heard.
    assert_eq!(threads(json!({"resources": request("2"), "server": {"threads": 5}})), Some(5));
    for name in ["MLOPS_THREADS", "MLOPS_ONNX_INTRA_OP_NUM_THREADS"] {
        assert_eq!(threads(json!({"resources": request("2"), "env": [{"name": name, "value": "3"}]})), None, "{name}");
    }
}

#[test]
fn probes_change_only_what_is_given() {
    let valid = check(json!({"probes": {"startup": {"failureThreshold": 600}}})).unwrap();
    assert_eq!(valid.startup, ProbeTiming { failures: 600, ..STARTUP });
    assert_eq!(valid.liveness, LIVENESS);
}

#[test]
fn probes_follow_the_servers_debug_routes() {
    for (value, prefix) in [("true", ""), ("1", ""), (" Y ", ""), ("t", ""), ("false", "/api/v1"), ("", "/api/v1")] {
        let valid = check(json!({"env": [{"name": "MLOPS_DEBUG", "value": value}]})).unwrap();
        assert_eq!(valid.path_prefix, prefix, "MLOPS_DEBUG={value}");
    }
}

/// So many annotations of such values.
fn many(count: usize, length: usize) -> serde_json::Value {
    (0..count).map(|number| (format!("example.com/{number}"), json!("x".repeat(length)))).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_predates_a_rule_is_refused_with_a_sentence() {
    let cases = [
        (json!({"replicas": -1}), "spec.replicas is -1; set it to a number from 0 to 1000"),
        (json!({"service": {"port": 0}}), "spec.service.port is 0; set it to a number from 1 to 65535"),
        (json!({"server": {"threads": 0}}), "spec.server.threads is 0; set it to a number from 1 to 256"),
        (
            json!({"server": {"batching": {"maxBatchSize": 9999}}}),
            "spec.server.batching.maxBatchSize is 9999; set it to a number from 1 to 1024",
        ),
        (
            json!({"server": {"allowedOrigins": ["*"]}}),
            "spec.server.allowedOrigins: \"*\" is not an origin: write a scheme and a host, such as https://shop.example.com, without a path and without '*'",
        ),
        (json!({"image": {"tag": "1", "digest": "sha256:1"}}), "spec.image: set tag or digest, not both"),
        (
            json!({"resources": {"requests": {"cpu": "many"}}}),
            "spec.resources.requests.cpu: \"many\" is not a quantity; write a number with an optional unit, such as 250m, 2 or 512Mi",
        ),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}}),
            "spec.resources.requests.cpu 2 exceeds spec.resources.limits.cpu 1500m: lower the request or raise the limit",
        ),
        (
            json!({"podMetadata": {"labels": {"app.kubernetes.io/instance": "x"}}}),
            "spec.podMetadata.labels: app.kubernetes.io/instance is the operator's own label: choose another key",
        ),
        (json!({"env": [{"name": "A"}, {"name": "A"}]}), "spec.env lists A twice: keep one"),
        (
            json!({"env": [{"name": "MLOPS_PORT", "value": "9000"}]}),
            "spec.env: MLOPS_PORT is the operator's: set spec.service.port for another port of the Service",
        ),
        (
            json!({"env": [{"name": "MLOPS_MANAGEMENT_PORT", "value": "9000"}]}),
            "spec.env: MLOPS_MANAGEMENT_PORT is the operator's: set spec.service.port for another port of the Service",
        ),
        (
            json!({"env": [{"name": "MLOPS_DEBUG", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
            "spec.env: MLOPS_DEBUG moves the paths that the probes ask: give it a value, not a valueFrom",
        ),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "keys"}}, "env": [{"name": "MLOPS_API_KEY_FILE"}]}),
            "spec.env: MLOPS_API_KEY_FILE and spec.auth.apiKeySecretRef are both set: keep one",
        ),
        (
            json!({"env": [{
                "name": "MLOPS_API_KEY",
                "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key", "optional": true}},
            }]}),
            "spec.env: MLOPS_API_KEY is optional, and without its Secret the pods would serve everybody: remove optional",
        ),
        (
            json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}),
            "spec.replicas and spec.autoscaling are both set: remove one of them",
        ),
        (
            json!({"autoscaling": {"minReplicas": 4, "maxReplicas": 3}}),
            "spec.autoscaling.minReplicas 4 exceeds maxReplicas 3: lower the one or raise the other",
        ),
        (
            json!({"autoscaling": {"maxReplicas": 0}}),
            "spec.autoscaling.maxReplicas is 0; set it to a number from 1 to 1000",
        ),
        (
            json!({"autoscaling": {}}),
            "spec.autoscaling: set exactly one of maxReplicas, for an autoscaler of the operator's, and external, where something else chooses the number of pods",
        ),
        (
            json!({"autoscaling": {"external": {}, "minReplicas": 1}}),
            "spec.autoscaling.external leaves the number of pods to something else: leave minReplicas, the targets, metrics and behavior out, and set them there",
        ),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 2}}),
            "spec.autoscaling.minReplicas is 0, and there may be no pod left to measure: add a metric of type External or Object, or set it to 1",
        ),
        (
            json!({"rollout": {"maxSurge": 0, "maxUnavailable": 0}}),
            "spec.rollout: maxSurge and maxUnavailable are both 0, so that no rollout could ever begin: raise one",
        ),
        (
            json!({"rollout": {"maxSurge": 1001}}),
            "spec.rollout.maxSurge: \"1001\" is neither a number of pods from 0 to 1000, nor a percentage from 0% to 100%, such as 25%",
        ),
        (
            json!({"rollout": {"maxUnavailable": "half"}}),
            "spec.rollout.maxUnavailable: \"half\" is neither a number of pods from 0 to 1000, nor a percentage from 0% to 100%, such as 25%",
        ),
        (
            json!({"route": {"parentRefs": [{"name": "g"}, {"name": "shop", "kind": "Service"}]}}),
            "spec.route.parentRefs[1] is no Gateway: leave group and kind out, or set gateway.networking.k8s.io and Gateway",
        ),
        (
            json!({"podMetadata": {"labels": {"a": "x".repeat(64)}}}),
            "spec.podMetadata.labels: the value of a has more than 63 characters: shorten it",
        ),
        (
            json!({"service": {"annotations": {"a": "x".repeat(4097)}}}),
            "spec.service.annotations: the value of a has more than 4096 characters: shorten it",
        ),
        (
            json!({"monitoring": {"labels": {"k".repeat(318): ""}}}),
            "spec.monitoring.labels has a key of more than 317 characters: shorten it",
        ),
        (
            json!({"podMetadata": {"annotations": many(65, 1)}}),
            "spec.podMetadata.annotations has more than 64 entries: remove some",
        ),
        (
            json!({"podMetadata": {"annotations": many(17, 4000)}}),
            "spec.podMetadata.annotations takes more than 65536 characters together: keep what is long in a ConfigMap",
        ),
        (
            json!({"podMetadata": {"labels": {"kubesentiment.io/track": "canary"}}}),
            "spec.podMetadata.labels: kubesentiment.io/track is the operator's own label: choose another key",
        ),
        (
            json!({"networkPolicy": {"dnsTo": [{}]}}),
            "spec.networkPolicy.dnsTo[0]: set an ipBlock, or a podSelector, a namespaceSelector, or the last two together",
        ),
        (json!({"disruptionBudget": {}}), "spec.disruptionBudget: set exactly one of minAvailable and maxUnavailable"),
        (
            json!({"disruptionBudget": {"minAvailable": "half"}}),
            "spec.disruptionBudget: \"half\" is neither a number of pods, such as 1, nor a percentage, such as 50%",
        ),
        (
            json!({"networkPolicy": {"egressTo": [{"podSelector": {}}, {}]}}),
            "spec.networkPolicy.egressTo[1]: set an ipBlock, or a podSelector, a namespaceSelector, or the last two together",
        ),
        (
            json!({"model": {"labels": ["GOOD"]}}),
            "spec.model.labels names a single class: name every class of the model by index, or leave it out",
        ),
        (json!({"model": {"neutralBand": 1.0}}), "spec.model.neutralBand is 1: set it to a number from 0 to below 1"),
        (
            json!({"cache": {"redis": {"host": "r", "port": 0}}}),
            "spec.cache.redis.port is 0; set it to a number from 1 to 65535",
        ),
        (
            json!({"monitoring": {"labels": {"app.kubernetes.io/name": "x"}}}),
            "spec.monitoring.labels: app.kubernetes.io/name is the operator's own label: choose another key",
        ),
    ];
    for (spec, sentence) in cases {
        assert_eq!(check(spec.clone()).unwrap_err().to_string(), sentence, "{spec}");
    }
}

#[test]
fn a_name_must_do_for_a_service() {
    let long = "x".repeat(64);
    for name in ["1st", "a.b", "a-", &long] {
        let mut object = service(json!({}));
        object.metadata.name = Some(name.to_owned());
        let error = validate(&object, &default_image()).unwrap_err();
        assert_eq!(error, Invalid::Name(name.to_owned()));
    }
}

#[test]
fn an_autoscaler_always_has_a_target() {
    let target = |autoscaling| match check(json!({"autoscaling": autoscaling})).unwrap().scale {
        Scale::Auto(autoscaler) => (autoscaler.min, autoscaler.cpu, autoscaler.memory),
        other => panic!("there is no autoscaler, but {other:?}"),
    };
    assert_eq!(target(json!({"maxReplicas": 5})), (2, Some(80), None));
    assert_eq!(target(json!({"maxReplicas": 1})), (1, Some(80), None));
    assert_eq!(target(json!({"maxReplicas": 5, "targetMemoryUtilizationPercentage": 60})), (2, None, Some(60)));
    let custom =
        json!([{"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": 1}}}]);
    assert_eq!(target(json!({"maxReplicas": 5, "metrics": custom})), (2, None, None));
}

#[test]
fn something_else_may_choose_the_number_of_pods() {
    let valid = check(json!({"autoscaling": {"external": {}}})).unwrap();
    assert_eq!(valid.scale, Scale::External);
    assert_eq!((valid.scale.least(), valid.scale.most()), (0, 1000));
    assert_eq!(valid.replicas(), None);
    let suspended = check(json!({"autoscaling": {"external": {}}, "suspend": true})).unwrap();
    assert_eq!(suspended.replicas(), Some(0));
}

#[test]
fn a_rollout_can_always_begin() {
    let rollout = |given| {
        let Rollout { max_surge, max_unavailable } = check(json!({"rollout": given})).unwrap().rollout;
        json!([max_surge, max_unavailable])
    };
    assert_eq!(rollout(json!({})), json!([1, 0]));
    assert_eq!(rollout(json!({"maxSurge": 0})), json!([0, 1]));
    assert_eq!(rollout(json!({"maxSurge": "0%"})), json!(["0%", 1]));
    assert_eq!(rollout(json!({"maxUnavailable": "25%"})), json!([1, "25%"]));
    assert_eq!(rollout(json!({"maxSurge": "3"})), json!([3, 0]), "a number in quotes is one too");
}

#[test]
fn architectures_are_known_of_the_operators_own_image() {
    let known = |image| check(json!({"image": image})).unwrap().architectures;
    assert_eq!(known(json!({})), ["amd64"]);
    assert_eq!(known(json!({"debug": true, "pullPolicy": "Always"})), ["amd64"]);
    let digest = format!("sha256:{}", "0".repeat(64));
    for image in [json!({"repository": "mirror/s"}), json!({"tag": "1"}), json!({"digest": digest})] {
        assert_eq!(known(image), [""; 0]);
    }
    let of_both = ServerImage { architectures: vec!["amd64".to_owned(), "arm64".to_owned()], ..default_image() };
    assert_eq!(validate(&service(json!({})), &of_both).unwrap().architectures, ["amd64", "arm64"]);
}

#[test]
fn secrets_have_default_keys() {
    let valid = check(json!({
        "auth": {"apiKeySecretRef": {"name": "keys"}},
        "cache": {"redis": {"host": "redis", "passwordSecretRef": {"name": "redis"}}},
    }))
    .unwrap();
    assert_eq!(valid.auth.unwrap().keys.key, "api-key");
    assert_eq!(valid.cache.redis.unwrap().password.unwrap().key, "password");
}
