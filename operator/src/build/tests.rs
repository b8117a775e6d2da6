//! A snapshot of every child, of the smallest and of the largest spec.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use serde_json::{Value, json};

use super::*;
use crate::{api::SentimentService, validate::validate};

fn children(spec: Value) -> Children {
    let service: SentimentService = serde_json::from_value(json!({
        "apiVersion": "kubesentiment.io/v1alpha1",
        "kind": "SentimentService",
        "metadata": {"name": "reviews", "namespace": "demo", "uid": "00000000-0000-0000-0000-000000000001"},
        "spec": spec,
    }))
    .unwrap();
    build(&validate(&service, &"sentiment-service:distroless".parse().unwrap()).unwrap())
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
        "model": {"name": "reviews-en", "source": {"builtin": {}}},
        "replicas": 5,
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
        "probes": {
            "startup": {"failureThreshold": 300},
            "liveness": {"initialDelaySeconds": 60, "periodSeconds": 30, "timeoutSeconds": 10},
            "readiness": {"periodSeconds": 2},
        },
        "env": [
            {"name": "MLOPS_LOG_LEVEL", "value": "trace"},
            {"name": "MLOPS_API_KEY", "valueFrom": {"secretKeyRef": {"name": "reviews", "key": "api-key"}}},
        ],
        "service": {"type": "LoadBalancer", "port": 80, "annotations": {"example.com/internal": "true"}},
        "podMetadata": {"labels": {"team": "insights"}, "annotations": {"example.com/note": "hello"}},
    })
}

#[test]
fn every_child_of_the_empty_spec() {
    let children = children(json!({}));
    insta::assert_yaml_snapshot!("empty-service-account", children.service_account);
    insta::assert_yaml_snapshot!("empty-service", children.service);
    insta::assert_yaml_snapshot!("empty-deployment", children.deployment);
}

#[test]
fn every_child_of_the_full_spec() {
    let children = children(full_spec());
    insta::assert_yaml_snapshot!("full-service-account", children.service_account);
    insta::assert_yaml_snapshot!("full-service", children.service);
    insta::assert_yaml_snapshot!("full-deployment", children.deployment);
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
fn a_stopping_pod_has_time_to_drain_and_to_answer() {
    let pod = |spec| children(spec).deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod(json!({})).termination_grace_period_seconds, Some(40));
    let slow = json!({"server": {"drainSeconds": 20, "requestTimeout": 120}});
    assert_eq!(pod(slow).termination_grace_period_seconds, Some(145));
}
