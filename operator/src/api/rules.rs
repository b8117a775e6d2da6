//! The rules of the Custom Resource Definition, evaluated here as the API server does it.

use std::collections::BTreeSet;

use kube::core::cel::Validator;
use serde_json::{Value, json};

use super::crd;
use crate::{
    fixtures::{default_image, service},
    validate::validate,
};

/// For each rule in CEL a spec that breaks it, and the start of what it says.
#[expect(clippy::too_many_lines, reason = "a table")]
fn broken() -> Vec<(Value, &'static str)> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let cached = |cache: Value| json!({"model": {"source": {"s3": {"bucket": "abc"}}, "cache": cache}});
    let auth = json!({"apiKeySecretRef": {"name": "keys"}});
    let limited = |limit: Value| json!({"apiKeySecretRef": {"name": "keys"}, "limits": [limit]});
    let optional = json!({"name": "keys", "key": "key", "optional": true});
    let reserved = json!({"app.kubernetes.io/version": "9"});
    let long_key = json!({"k".repeat(318): ""});
    let metric = json!({"type": "Pods", "pods": {
        "metric": {"name": "sentiment_queue_depth"}, "target": {"type": "AverageValue", "averageValue": "8"},
    }});
    let much: serde_json::Map<String, Value> = (0..17).map(|n| (format!("a/{n}"), json!("x".repeat(4000)))).collect();
    let debug = json!({"name": "MLOPS_DEBUG", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}});
    vec![
        (json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}), "set replicas or autoscaling, not both"),
        (json!({"autoscaling": {"minReplicas": 4, "maxReplicas": 3}}), "autoscaling.minReplicas exceeds"),
        (json!({"autoscaling": {}}), "set exactly one of autoscaling.maxReplicas"),
        (json!({"autoscaling": {"maxReplicas": 3, "external": {}}}), "set exactly one of autoscaling.maxReplicas"),
        (json!({"replicas": 2, "autoscaling": {"external": {}}}), "set replicas or autoscaling, not both"),
        (json!({"autoscaling": {"external": {}, "minReplicas": 1}}), "autoscaling.external leaves the number of pods"),
        (
            json!({"autoscaling": {"external": {}, "metrics": [metric]}}),
            "autoscaling.external leaves the number of pods",
        ),
        (
            json!({"autoscaling": {"external": {}, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}),
            "autoscaling.external leaves the number of pods",
        ),
        (
            json!({"autoscaling": {"external": {}, "targetCPUUtilizationPercentage": 80}}),
            "autoscaling.external leaves the number of pods",
        ),
        (json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}), "with autoscaling.minReplicas 0"),
        (
            json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3, "metrics": [metric]}}),
            "with autoscaling.minReplicas 0",
        ),
        (
            json!({"rollout": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "rollout.maxSurge and rollout.maxUnavailable are both 0",
        ),
        (json!({"rollout": {"maxSurge": -1}}), "rollout.maxSurge and rollout.maxUnavailable are a number of pods"),
        (json!({"rollout": {"maxSurge": 1001}}), "rollout.maxSurge and rollout.maxUnavailable are a number of pods"),
        (
            json!({"rollout": {"maxUnavailable": "101%"}}),
            "rollout.maxSurge and rollout.maxUnavailable are a number of pods",
        ),
        (json!({"image": {"tag": "a", "digest": digest}}), "set image.tag or image.digest, not both"),
        (json!({"image": {"debug": true, "digest": digest}}), "image.debug picks the debug variant by its tag"),
        (json!({"model": {"source": {}}}), "set exactly one model source"),
        (json!({"model": {"source": {"builtin": {}, "s3": {"bucket": "abc"}}}}), "set exactly one model source"),
        (json!({"model": {"cache": {"size": "1Gi"}}}), "model.cache keeps what is fetched"),
        (
            json!({"model": {"source": {"image": {"reference": "a"}}, "cache": {"claimName": "a"}}}),
            "model.cache keeps what is fetched",
        ),
        (cached(json!({})), "set model.cache.claimName"),
        (cached(json!({"claimName": "a", "size": "1Gi"})), "set model.cache.claimName"),
        (cached(json!({"claimName": "a", "storageClassName": "fast"})), "model.cache.storageClassName and accessMode"),
        (
            cached(json!({"claimName": "a", "accessMode": "ReadWriteMany"})),
            "model.cache.storageClassName and accessMode",
        ),
        (
            json!({"model": {"source": {"s3": {"bucket": "abc", "endpoint": "minio:9000"}}}}),
            "an endpoint is a scheme and a host",
        ),
        (
            json!({"model": {"source": {"huggingFace": {"repository": "a", "endpoint": "https://a?b=c"}}}}),
            "an endpoint is a scheme and a host",
        ),
        (json!({"model": {"source": {"http": {"url": "https://user:word@a/b"}}}}), "http.url is a URL of HTTP"),
        (json!({"model": {"source": {"http": {"url": "ftp://a/b"}}}}), "http.url is a URL of HTTP"),
        (
            json!({"model": {"source": {"s3": {"bucket": "abc"}}}, "env": [{"name": "MLOPS_ONNX_MODEL_PATH", "value": "/a"}]}),
            "set model.source or MLOPS_ONNX_MODEL_PATH",
        ),
        (
            json!({"model": {"digest": digest}, "env": [{"name": "MLOPS_MODEL_DIGEST", "value": "a"}]}),
            "set model.digest or MLOPS_MODEL_DIGEST",
        ),
        (json!({"model": {"labels": ["GOOD"]}}), "model.labels names the classes of the model by index"),
        (json!({"model": {"neutralBand": 1.0}}), "model.neutralBand is a probability from 0 to below 1"),
        (json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}}), "a request exceeds its limit"),
        (json!({"server": {"allowedOrigins": ["https://a.example/x"]}}), "an origin is a scheme and a host"),
        (
            json!({"env": [{"name": "MLOPS_HOST", "value": "::"}]}),
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are",
        ),
        (
            json!({"env": [{"name": "MLOPS_MANAGEMENT_PORT", "value": "9000"}]}),
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are",
        ),
        (
            json!({"env": [{"name": "MLOPS_GRPC_PORT", "value": "9001"}]}),
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are",
        ),
        (json!({"service": {"grpcPort": 8000}}), "service.grpcPort is the port of the Service for HTTP"),
        (json!({"service": {"port": 80, "grpcPort": 80}}), "service.grpcPort is the port of the Service for HTTP"),
        (
            json!({"protocols": ["native"], "route": {"parentRefs": [{"name": "public"}], "grpc": {}}}),
            "route.grpc publishes gRPC, which isn't served",
        ),
        (json!({"auth": limited(json!({"name": "shop"}))}), "a limit limits nothing"),
        (json!({"auth": limited(json!({"name": "shop", "burst": 9, "concurrency": 4}))}), "burst is how far"),
        (json!({"inferenceLog": {"sampleRatio": 0.5}}), "inferenceLog leads nowhere"),
        (
            json!({"inferenceLog": {"stdout": true, "headersSecretRef": {"name": "a"}}}),
            "inferenceLog.headersSecretRef has the headers",
        ),
        (
            json!({"inferenceLog": {"stdout": true, "caSecretRef": {"name": "a"}}}),
            "inferenceLog.caSecretRef has the authority",
        ),
        (
            json!({"inferenceLog": {"url": "http://records", "caSecretRef": {"name": "a"}}}),
            "inferenceLog.caSecretRef has the authority",
        ),
        (json!({"inferenceLog": {"url": "records.example.com"}}), "inferenceLog.url is a scheme and a host"),
        (json!({"inferenceLog": {"url": "https://user:word@records"}}), "inferenceLog.url is a scheme and a host"),
        (json!({"inferenceLog": {"url": "https://records/a#b"}}), "inferenceLog.url is a scheme and a host"),
        (json!({"env": [debug]}), "MLOPS_DEBUG moves the paths that the probes ask"),
        (
            json!({"auth": auth, "env": [{"name": "MLOPS_API_KEY", "value": ""}]}),
            "set auth.apiKeySecretRef or MLOPS_API_KEY in env",
        ),
        (
            json!({"auth": auth, "env": [{"name": "MLOPS_API_KEY_FILE", "value": "/app/tmp/keys"}]}),
            "set auth.apiKeySecretRef or MLOPS_API_KEY in env",
        ),
        (
            json!({
                "cache": {"redis": {"host": "redis", "passwordSecretRef": {"name": "redis"}}},
                "env": [{"name": "MLOPS_REDIS_PASSWORD", "value": "s3cret"}],
            }),
            "set cache.redis.passwordSecretRef or MLOPS_REDIS_PASSWORD in env",
        ),
        (
            json!({"env": [{"name": "MLOPS_API_KEY", "valueFrom": {"secretKeyRef": optional}}]}),
            "MLOPS_API_KEY must not be optional",
        ),
        (
            json!({"env": [{"name": "MLOPS_API_KEY", "valueFrom": {"configMapKeyRef": optional}}]}),
            "MLOPS_API_KEY must not be optional",
        ),
        (json!({"networkPolicy": {"ingressFrom": [{}]}}), "a peer is an ipBlock, or a podSelector"),
        (
            json!({"networkPolicy": {"egressTo": [{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}]}}),
            "a peer is an ipBlock, or a podSelector",
        ),
        (json!({"networkPolicy": {"dnsTo": [{}]}}), "a peer is an ipBlock, or a podSelector"),
        (
            json!({"route": {"parentRefs": [{"name": "public"}, {"name": "shop", "kind": "Service", "group": ""}]}}),
            "a parent of the route is a Gateway",
        ),
        (json!({"route": {"parentRefs": [{"name": "shop", "kind": "Service"}]}}), "a parent of the route is a Gateway"),
        (json!({"disruptionBudget": {}}), "set exactly one of disruptionBudget.minAvailable"),
        (json!({"disruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}), "set exactly one of disruptionBudget"),
        (json!({"disruptionBudget": {"maxUnavailable": "101%"}}), "a disruptionBudget is a number of pods"),
        (json!({"disruptionBudget": {"minAvailable": -1}}), "a disruptionBudget is a number of pods"),
        (json!({"podMetadata": {"labels": reserved}}), "the labels app.kubernetes.io/name"),
        (json!({"monitoring": {"labels": reserved}}), "the labels app.kubernetes.io/name"),
        (json!({"podMetadata": {"labels": {"kubesentiment.io/track": "canary"}}}), "the labels app.kubernetes.io/name"),
        (json!({"podMetadata": {"labels": long_key}}), "the key of a label or an annotation is too long"),
        (json!({"podMetadata": {"annotations": long_key}}), "the key of a label or an annotation is too long"),
        (json!({"service": {"annotations": long_key}}), "the key of a label or an annotation is too long"),
        (json!({"monitoring": {"labels": long_key}}), "the key of a label or an annotation is too long"),
        (json!({"podMetadata": {"annotations": much}}), "the annotations take more than 65536 characters together"),
        (json!({"service": {"annotations": much}}), "the annotations take more than 65536 characters together"),
    ]
}

fn schema() -> Value {
    let schema = crd().spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
    serde_json::to_value(schema).unwrap()
}

/// What the rules say of an object, sorted.
fn said(object: &Value) -> Vec<String> {
    match Validator::new().validate(&schema(), object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn object(spec: &Value) -> Value {
    let mut object = serde_json::to_value(service(json!({}))).unwrap();
    object["spec"] = spec.clone();
    object
}

#[test]
fn every_broken_rule_says_what_to_do_and_validate_knows_it_too() {
    for (spec, sentence) in broken() {
        let said = said(&object(&spec));
        assert!(said.iter().any(|text| text.contains(sentence)), "{spec}: the rules say {said:?}");
        assert!(validate(&service(spec.clone()), &default_image()).is_err(), "validate lets {spec} pass");
    }
    let mut named = object(&json!({}));
    named["metadata"]["name"] = json!("1st");
    assert!(said(&named)[0].contains("metadata.name becomes the name of the Service"));
}

#[test]
fn no_rule_is_without_a_case() {
    fn messages(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                    found.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
                }
                fields.values().for_each(|value| messages(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    messages(&schema(), &mut all);
    for message in all.iter().filter(|message| !message.starts_with("metadata.name")) {
        assert!(broken().iter().any(|(_, sentence)| message.starts_with(sentence)), "no case breaks: {message}");
    }
}

#[test]
fn what_is_right_is_let_through() {
    for spec in [
        json!({}),
        json!({"disruptionBudget": {"minAvailable": "100%"}}),
        json!({"autoscaling": {"external": {}}}),
        json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3, "metrics": [{"type": "External", "external": {
            "metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "8"},
        }}]}}),
        json!({"rollout": {"maxSurge": 0}}),
        json!({"rollout": {"maxSurge": "0%", "maxUnavailable": "25%"}}),
        json!({"rollout": {"maxSurge": 1000, "maxUnavailable": 0}}),
        json!({"env": [{"name": "MLOPS_DEBUG", "value": "true"}]}),
        json!({"route": {"parentRefs": [{"name": "g"}, {"name": "g", "group": "gateway.networking.k8s.io", "kind": "Gateway"}]}}),
        json!({"podMetadata": {"annotations": {"k".repeat(317): "x".repeat(4096)}}}),
        json!({"resources": {"requests": {}, "limits": {"memory": "1Gi"}}}),
        json!({"networkPolicy": {"dnsTo": [{"ipBlock": {"cidr": "192.0.2.53/32"}}]}}),
        json!({"disruptionBudget": {"maxUnavailable": 0}}),
        json!({"networkPolicy": {"ingressFrom": [{"podSelector": {}, "namespaceSelector": {}}]}}),
        json!({"model": {"labels": ["BAD", "GOOD"], "neutralBand": 0.99}}),
        json!({"model": {"source": {"http": {"url": "http://[2001:db8::1]:8080/a/b.tar.gz?token=a/b%20c&d=?"}}}}),
        json!({"model": {"source": {"s3": {"bucket": "abc", "endpoint": "http://minio:9000/s3/"}}, "cache": {"size": 1}}}),
        json!({"model": {"source": {"builtin": {}}}, "env": [{"name": "MLOPS_ONNX_MODEL_PATH", "value": "/models/a"}]}),
        json!({"env": [{"name": "MLOPS_MODEL_DIGEST", "value": "sha256:1"}]}),
        json!({"env": [{"name": "MLOPS_API_KEY", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
        json!({
            "auth": {"apiKeySecretRef": {"name": "keys"}},
            "env": [{"name": "MLOPS_REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b", "optional": true}}}],
        }),
        json!({"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 1}}}),
        json!({"protocols": ["native", "grpc"], "route": {"parentRefs": [{"name": "g"}], "grpc": {}}}),
        json!({"service": {"port": 80, "grpcPort": 8000}}),
        json!({"service": {"port": 8001}}),
        json!({"tls": {"secretName": "reviews-tls", "clientCASecretRef": {"name": "callers"}}}),
        json!({"inferenceLog": {"stdout": true, "sampleRatio": 0.0}}),
        json!({"inferenceLog": {"url": "http://[2001:db8::1]:8080/team-a", "headersSecretRef": {"name": "a"}}}),
        json!({"inferenceLog": {"url": "https://records.example.com/a/b", "caSecretRef": {"name": "a"}, "sampleRatio": 1}}),
        json!({"auth": {"apiKeySecretRef": {"name": "keys"}, "limits": [
            {"name": "*", "concurrency": 4}, {"name": "shop", "requestsPerSecond": 10, "burst": 20},
        ]}}),
        json!({"server": {"allowedOrigins": ["https://shop.example.com", "http://localhost:3000"]}}),
    ] {
        assert_eq!(said(&object(&spec)), [""; 0], "{spec}");
        validate(&service(spec.clone()), &default_image()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    }
}
