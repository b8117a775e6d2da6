use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::Response;
use kube::Client;
use kubesentiment_operator::testing::Server;
use tower::{ServiceExt, service_fn};

use super::{
    trial::{Line, Tried},
    *,
};

/// What a proxied server was asked: path, key and body.
type Asked = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

/// Status and body of an answer to a body.
type Answering = fn(&Value) -> (u16, Value);

/// A cluster with a service of this spec, whose proxied server answers by this function.
fn cluster(spec: &Value, answer: Answering) -> (Cluster, Asked) {
    let server = Server::new();
    server.put(json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "spec": spec,
        "metadata": {"name": "reviews", "namespace": "demo", "uid": "1"},
    }));
    server.put(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"},
        "data": {"api-key": "c2hvcDogczNjcmV0"},
    }));
    let asked = Asked::default();
    let seen = asked.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (server, seen) = (server.clone(), seen.clone());
        async move {
            let path = request.uri().path().to_owned();
            let (status, body) = if path.contains("/proxy/") {
                let key = request.headers().get(KEY_HEADER).map(|key| key.to_str().unwrap().to_owned());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                let answer = answer(&body);
                seen.lock().unwrap().push((path, key, body));
                (answer.0, answer.1.to_string().into_bytes())
            } else {
                let answer = server.service().oneshot(request).await.unwrap();
                let status = answer.status().as_u16();
                (status, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
            };
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(body)).unwrap())
        }
    });
    (Cluster { client: Client::new(service, "demo"), namespace: "demo".to_owned() }, asked)
}

fn positive(_: &Value) -> (u16, Value) {
    (200, json!({"label": "POSITIVE", "score": 0.96}))
}

fn flags() -> KeyFlags {
    KeyFlags::default()
}

#[tokio::test]
async fn the_server_is_asked_through_the_proxy() {
    let (cluster, asked) = cluster(&json!({}), positive);
    let target = Target::new(&cluster, "reviews", &flags()).await.unwrap();
    let answer = target.post("/predict", &json!({"text": "good"})).await.unwrap();
    assert_eq!(answer.body["label"], "POSITIVE");
    let expected = (
        "/api/v1/namespaces/demo/services/reviews:http/proxy/api/v1/predict".to_owned(),
        None,
        json!({"text": "good"}),
    );
    assert_eq!(*asked.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn the_key_is_that_of_the_secret_and_tls_is_spoken() {
    let spec = json!({"auth": {"apiKeySecretRef": {"name": "keys"}}, "tls": {"secretName": "t"}, "env": [{"name": "MLOPS_DEBUG", "value": "true"}]});
    let (cluster, asked) = cluster(&spec, positive);
    Target::new(&cluster, "reviews", &flags()).await.unwrap().post("/predict", &json!({})).await.unwrap();
    let (path, key, _) = asked.lock().unwrap().remove(0);
    assert_eq!(
        (&*path, key.as_deref()),
        ("/api/v1/namespaces/demo/services/https:reviews:http/proxy/predict", Some("s3cret"))
    );
}

#[tokio::test]
async fn what_cannot_be_asked_says_what_to_do() {
    for (spec, words) in [
        (json!({"suspend": true}), "is suspended"),
        (json!({"replicas": 0}), "is suspended"),
        (json!({"protocols": ["oip"]}), "speaks [\"oip\"] only: add native"),
        (json!({"tls": {"secretName": "t", "clientCASecretRef": {"name": "c"}}}), "port-forward"),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "missing"}}}),
            "which doesn't exist: give the key by --api-key-file",
        ),
        (json!({"auth": {"apiKeySecretRef": {"name": "keys", "key": "other"}}}), "Secret keys has no key other"),
    ] {
        let (cluster, asked) = cluster(&spec, positive);
        let error = Target::new(&cluster, "reviews", &flags()).await.err().unwrap().to_string();
        assert!(error.contains(words), "{spec}: {error}");
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_who_refused() {
    let cases: [(Answering, &str); 4] = [
        (
            |_| (400, json!({"error_code": "E1002", "error_message": "Text too long", "detail": "12000 characters"})),
            "reviews refuses it: 12000 characters (E1002)",
        ),
        (
            |_| (401, json!({"error_code": "E3002", "error_message": "No key"})),
            "No key (E3002); give the key by --api-key-file",
        ),
        (
            |_| (403, json!({"kind": "Status", "message": "services \"reviews\" is forbidden"})),
            "is forbidden; ask for the right to create services/proxy",
        ),
        (
            |_| (503, json!({"kind": "Status", "message": "no endpoints available for service \"reviews\""})),
            "no endpoints available for service \"reviews\"; No operator has looked at it",
        ),
    ];
    for (answer, words) in cases {
        let (cluster, _) = cluster(&json!({}), answer);
        let target = Target::new(&cluster, "reviews", &flags()).await.unwrap();
        let refusal = target.post("/predict", &json!({})).await.unwrap_err();
        let error = target.explained(refusal).await.to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn predictions_as_a_table() {
    let texts = ["good".to_owned(), String::new()];
    let batch = json!({"results": [{"label": "POSITIVE", "score": 0.96036}, {"label": "ERROR", "error": "too short"}]});
    let table = predict::table(&texts, &batch).unwrap();
    assert_eq!(table, "LABEL      SCORE    TEXT\nPOSITIVE   0.9604   good\n-          -         (too short)\n");
    assert!(predict::table(&texts, &json!({})).is_err());
}

#[test]
fn an_explanation_as_bars() {
    let body = json!({"prediction": "NEGATIVE", "confidence": 0.87, "token_attributions": [
        {"token": "Nice", "attribution": -0.1}, {"token": "lamp", "attribution": 0.01}, {"token": "terrible", "attribution": 0.5},
    ]});
    let text = anstream::adapter::strip_str(&explain::shown(&body)).to_string();
    let expected = "NEGATIVE 0.8700\n\nWORD       SHARE     FOR THE LABEL\nNice       -0.1000   --\nlamp       +0.0100   ·\nterrible   +0.5000   ++++++++++\n";
    assert_eq!(text, expected);
}

#[test]
fn files_of_texts_are_read_line_by_line() {
    let line = |text: &str, label: Option<&str>| Line { text: text.to_owned(), label: label.map(str::to_owned) };
    let expected = [line("good", Some("POSITIVE")), line("a\tb", Some("X")), line("bare", None), line("empty", None)];
    assert_eq!(trial::lines("good\tPOSITIVE\r\n\na\tb\tX\nbare\nempty\t\n"), expected);
}

fn tried(label: Option<&str>, expected: Option<&str>, millis: u64) -> Tried {
    Tried {
        text: "t".to_owned(),
        expected: expected.map(str::to_owned),
        label: label.map(str::to_owned),
        error: label.is_none().then(|| "no".to_owned()),
        took: Duration::from_millis(millis),
    }
}

#[test]
fn accuracy_is_of_the_texts_that_have_labels() {
    let all = [
        tried(Some("positive"), Some("POSITIVE"), 1),
        tried(Some("NEGATIVE"), Some("POSITIVE"), 3),
        tried(Some("NEGATIVE"), None, 2),
        tried(None, Some("POSITIVE"), 0),
    ];
    let summary = trial::summary(&all, false);
    assert_eq!((summary.texts, summary.failed, summary.labelled, summary.right), (4, 1, 3, 1));
    assert!((summary.accuracy.unwrap() - 1.0 / 3.0).abs() < 1e-9 && (summary.median_ms - 2.0).abs() < 1e-9);
    let text = anstream::adapter::strip_str(&trial::shown(&all, &summary)).to_string();
    assert!(
        text.contains(
            "1 of 3 labels are right (33.3 %)\n1 of 4 texts have no answer\nlatency: median 2.0 ms, p99 3.0 ms"
        ),
        "{text}"
    );
}

#[test]
fn our_own_labels_say_nothing_about_another_model() {
    let stars = [tried(Some("5 stars"), Some("POSITIVE"), 1)];
    assert_eq!(trial::summary(&stars, true).accuracy, None);
    assert_eq!(trial::summary(&stars, false).accuracy, Some(0.0));
}

#[test]
fn a_measurement_counts_answers_and_refusals() {
    let answer = |millis| Ok(Answer { body: Value::Null, took: Duration::from_millis(millis) });
    let refusal = |status| Err(Refusal { status, sentence: String::new() });
    let answers = [answer(2), answer(4), refusal(503), refusal(503), refusal(0)];
    let measured = bench::measured(&answers, Duration::from_secs(2));
    let expected = "2 texts in 2.0 s, through the API server: 1 a second\nlatency: p50 2.0 ms, p99 4.0 ms\nwithout an answer: 1, no answer\nwithout an answer: 2, status 503\n";
    assert_eq!(bench::shown(&measured), expected);
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
    assert_eq!([0.5, 0.99, 1.0].map(|share| percentile(&times, share).as_millis()), [50, 99, 100]);
    assert_eq!(percentile(&[], 0.5), Duration::ZERO);
}
