use std::{collections::BTreeMap, convert::Infallible, io::Read};

use flate2::read::GzDecoder;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use kubesentiment_operator::testing::Server;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use super::*;

#[test]
fn credentials_are_known_by_their_names() {
    for name in [
        "password",
        "MLOPS_REDIS_PASSWORD",
        "apiKey",
        "X-API-Key",
        "api_key",
        "accountKey",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "authorization",
        "hubToken",
    ] {
        assert!(redact::is_credential(name), "{name}");
    }
    for name in [
        "secretName",
        "tokens",
        "apiKeySecretRef",
        "MLOPS_API_KEY_FILE",
        "key",
        "max_tokens",
        "name",
        "passwordSecretRef",
        "automountServiceAccountToken",
    ] {
        assert!(!redact::is_credential(name), "{name}");
    }
}

#[test]
fn credentials_are_known_by_their_forms() {
    let cases = [
        ("authorization: Bearer abcdefgh12345678", "authorization: <left out>"),
        ("sent Bearer abcdefgh12345678 away", "sent Bearer <left out> away"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "<left out>"),
        ("redis://user:s3cret@redis:6379/0", "redis://<left out>@redis:6379/0"),
        ("https://a/b?sig=abc&x=1", "https://a/b?sig=<left out>&x=1"),
        ("https://a/b?X-Amz-Signature=abc", "https://a/b?X-Amz-Signature=<left out>"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key <left out>."),
        ("hf_abcdefghijklmnopqrstuv", "<left out>"),
        ("api_key: s3cret", "api_key: <left out>"),
        ("{\"password\":\"s3 cret\",\"a\":1}", "{\"password\":\"<left out>\",\"a\":1}"),
        (r#""{\"password\":\"s3cret\"}""#, r#""{\"password\":\"<left out>\"}""#),
        ("--token=s3cret x", "--token=<left out>"),
        ("msg=token=s3cret", "msg=token=<left out>"),
        ("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nx", "<left out>\nx"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "<left out>"),
    ];
    for (given, expected) in cases {
        assert_eq!(redact::text(given), expected);
    }
    for kept in [
        "secretName: keys",
        "the model reads 128 tokens: 5 left",
        "-----BEGIN CERTIFICATE-----\nabc",
        "{\"level\":\"info\",\"tokens\":24}",
        "http://reviews.demo.svc:8000/api/v1",
        "Secret \"keys\" not found",
    ] {
        assert_eq!(redact::text(kept), kept);
    }
}

/// What must not be in a bundle, in whatever place it was.
const PLANTED: [&str; 9] = [
    "planted-in-secret",
    "planted-in-env",
    "planted-in-annotation",
    "planted-in-log",
    "planted-in-operator-log",
    "planted-in-config",
    "planted-in-event",
    "planted-in-metrics",
    "planted-in-url",
];

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "kubesentiment-operator", "app.kubernetes.io/instance": "reviews"})
}

fn pod(name: &str, labels: &Value) -> Value {
    let state = json!({"terminated": {"exitCode": 1}});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "demo", "labels": labels},
        "spec": {"containers": [{"name": "sentiment", "env": [{"name": "HUB_TOKEN", "value": "planted-in-env"}]}]},
        "status": {"containerStatuses": [{"name": "sentiment", "image": "s:1", "imageID": "s@sha256:1", "ready": true, "restartCount": 1, "lastState": state}]},
    })
}

/// A cluster in which every place that is looked at has a credential.
fn cluster() -> Cluster {
    let server = Server::new();
    server.put(json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
        "metadata": {"name": "reviews", "namespace": "demo", "uid": "1", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"env\":[{\"name\":\"A\",\"value\":\"planted-in-annotation\"}]}}",
        }},
        "spec": {
            "env": [
                {"name": "OPENAI_KEY", "value": "planted-in-env"}, {"name": "MLOPS_REDIS_PASSWORD", "value": "planted-in-env"},
                {"name": "PROXY", "value": "http://user:planted-in-url@proxy:3128"},
            ],
            "auth": {"apiKeySecretRef": {"name": "keys"}}, "configMapRef": {"name": "settings"},
        },
    }));
    server.put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"},
        "data": {"api-key": "cGxhbnRlZC1pbi1zZWNyZXQ="}, "stringData": {"api-key": "planted-in-secret"},
    }));
    server.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "demo"},
        "data": {"server.yaml": "log_level: debug\napi_key: planted-in-config\n"},
    }));
    server.put(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "demo"},
        "regarding": {"name": "reviews-1"}, "note": "password=planted-in-event", "reason": "Failed", "eventTime": null,
    }));
    server.put(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "f", "namespace": "demo"},
        "regarding": {"name": "others-1"}, "note": "of another service", "eventTime": null,
    }));
    server.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews", "namespace": "demo", "labels": labels()},
        "spec": {"selector": {}, "template": {"spec": {"containers": [], "volumes": [{"name": "a", "secret": {"secretName": "gone"}}]}}},
    }));
    server.put(pod("reviews-1", &labels()));
    let of_the_operator = json!({"app.kubernetes.io/name": "kubesentiment-operator"});
    server.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "operator", "namespace": "demo", "labels": of_the_operator},
        "spec": {"selector": {"matchLabels": of_the_operator}, "template": {}},
    }));
    server.put(pod("operator-1", &of_the_operator));
    let service = service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let path = request.uri().path().to_owned();
            let (status, body) = match &*path {
                "/api/v1/namespaces/demo/pods/reviews-1/log" => (200, b"a line\nAuthorization: Bearer planted-in-log\n".to_vec()),
                "/api/v1/namespaces/demo/pods/operator-1/log" => {
                    let lines = "{\"namespace\":\"demo\",\"token\":\"planted-in-operator-log\"}\n{\"namespace\":\"other\",\"name\":\"of others\"}\n";
                    (200, lines.as_bytes().to_vec())
                }
                "/api/v1/namespaces/demo/pods/reviews-1:8081/proxy/metrics" => {
                    (200, b"sentiment_info{url=\"redis://:planted-in-metrics@redis\"} 1\n".to_vec())
                }
                // A kind that isn't installed.
                path if path.ends_with("/podmonitors/reviews") => (404, b"404 page not found\n".to_vec()),
                "/version" => (200, json!({"gitVersion": "v1.33.0", "major": "1", "minor": "33", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}).to_string().into_bytes()),
                _ => {
                    let answer = server.service().oneshot(request).await.unwrap();
                    let status = answer.status().as_u16();
                    (status, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
                }
            };
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(body)).unwrap())
        }
    });
    Cluster { client: Client::new(service, "demo"), namespace: "demo".to_owned() }
}

fn unpacked(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

#[tokio::test]
async fn a_planted_secret_is_not_in_the_bundle() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let (entries, missing) = gather::gather(&cluster(), "reviews", now).await.unwrap();
    assert_eq!(missing, [""; 0]);
    let files = unpacked(&pack(Vec::new(), "reviews", &entries, now).unwrap());
    for (path, content) in &files {
        for planted in PLANTED.iter().chain(&["cGxhbnRlZC1pbi1zZWNyZXQ"]) {
            assert!(!content.contains(planted), "{planted} is in {path}:\n{content}");
        }
    }
    let paths: Vec<&str> = files.keys().filter_map(|path| path.strip_prefix("reviews/")).collect();
    let expected = [
        "children/deployment-reviews.yaml",
        "configmap.yaml",
        "events.yaml",
        "logs/reviews-1/sentiment.log",
        "logs/reviews-1/sentiment.previous.log",
        "metrics/reviews-1.prom",
        "operator/deployment.yaml",
        "operator/logs/operator-1/sentiment.log",
        "operator/logs/operator-1/sentiment.previous.log",
        "operator/pods/operator-1.yaml",
        "pods/reviews-1.yaml",
        "secrets.yaml",
        "service.yaml",
        "summary.txt",
        "versions.yaml",
    ];
    assert_eq!(paths, expected);
    // What is left is of use.
    let of = |path: &str| files[&format!("reviews/{path}")].as_str();
    assert_eq!(of("secrets.yaml"), "gone: is missing\nkeys: is there\n");
    assert!(of("service.yaml").contains("name: OPENAI_KEY\n    value: <left out>"), "{}", of("service.yaml"));
    assert!(of("configmap.yaml").contains("log_level: debug"), "{}", of("configmap.yaml"));
    assert_eq!(of("logs/reviews-1/sentiment.log"), "a line\nAuthorization: <left out>\n");
    assert!(
        !of("operator/logs/operator-1/sentiment.log").contains("of others")
            && !of("events.yaml").contains("another service")
    );
    assert!(of("versions.yaml").contains("v1.33.0"));
}

#[test]
fn a_file_that_is_there_stays() {
    let path = std::env::temp_dir().join(format!("kubectl-sentiment-{}.tar.gz", std::process::id()));
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let entries = [Entry { path: "a".to_owned(), content: "b".to_owned() }];
    write(&path, "reviews", &entries, now).unwrap();
    let again = write(&path, "reviews", &[], now).unwrap_err();
    let files = unpacked(&fs::read(&path).unwrap());
    fs::remove_file(&path).unwrap();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(files["reviews/a"], "b");
}
