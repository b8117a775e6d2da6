#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use kubesentiment_operator::testing::{Fault, Server, requests};
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// A service of generation 3 with this reason and message, of so many pods.
fn service(reason: &str, message: &str, (available, replicas): (i32, i32), more: Value) -> Value {
    let (ready, stalled) = match reason {
        "Serving" => ("True", "False"),
        "RollingOut" | "Unschedulable" | "QuotaExceeded" | "Suspended" => ("False", "False"),
        _ => ("False", "True"),
    };
    let mut conditions =
        vec![condition("Ready", ready, reason, message), condition("Stalled", stalled, reason, message)];
    conditions.extend(more.as_array().into_iter().flatten().cloned());
    json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
        "metadata": {"name": "reviews", "namespace": "demo", "generation": 3, "uid": "00000000-0000-0000-0000-000000000001"},
        "spec": {},
        "status": {
            "observedGeneration": 3, "conditions": conditions, "replicas": replicas, "availableReplicas": available,
            "image": "s:1", "url": "http://reviews.demo.svc:8000",
            "model": {"name": "default", "source": "builtin", "digest": format!("sha256:{}", "0123456789abcdef".repeat(4))},
        },
    })
}

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "kubesentiment-operator", "app.kubernetes.io/instance": "reviews"})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "reviews", "namespace": "demo", "labels": labels(), "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3},
    })
}

fn replica_set(name: &str, revision: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "demo", "labels": labels(), "annotations": {"deployment.kubernetes.io/revision": revision}},
        "spec": {"selector": {}},
    })
}

fn pod(name: &str, set: &str, phase: &str, status: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "demo", "labels": labels(), "creationTimestamp": "2026-01-01T00:05:00Z", "uid": "1",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "2", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": phase},
    });
    pod["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    pod
}

fn serving() -> Value {
    json!({
        "conditions": [{"type": "Ready", "status": "True"}], "podIP": "192.0.2.7",
        "containerStatuses": [{"name": "sentiment", "image": "s:1", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}],
    })
}

fn container(name: &str, restarts: i32, state: Value, last: Value) -> Value {
    json!({"name": name, "image": "s:2", "imageID": "", "ready": false, "restartCount": restarts, "state": state, "lastState": last})
}

fn unpullable() -> Value {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
    json!({"containerStatuses": [container("sentiment", 0, waiting, json!({}))]})
}

fn scene(pods: &[Value]) -> Scene {
    let read = |object: Value| serde_json::from_value(object).unwrap();
    Scene {
        deployment: Some(serde_json::from_value(deployment()).unwrap()),
        replica_sets: vec![read(replica_set("reviews-1", "1")), read(replica_set("reviews-2", "2"))],
        pods: Some(pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect()),
        warnings: BTreeMap::new(),
    }
}

fn of(service: &Value, pods: &[Value]) -> Report {
    report(&serde_json::from_value(service.clone()).unwrap(), &scene(pods), now())
}

fn mixed() -> [Value; 3] {
    [
        pod("reviews-1-a", "reviews-1", "Running", serving()),
        pod("reviews-1-b", "reviews-1", "Running", serving()),
        pod("reviews-2-c", "reviews-2", "Pending", unpullable()),
    ]
}

#[test]
fn one_sentence_tells_why() {
    let cases = [
        (service("Serving", "3 of 3 replicas serve", (3, 3), json!([])), "Serving on 3 of 3 pods"),
        (
            service(
                "Serving",
                "all",
                (3, 3),
                json!([condition("Reconciling", "True", "RollingOut", "waiting: 5 other services are rolling out")]),
            ),
            "Serving on 3 of 3 pods; a newer template of the pods is waiting: 5 other services are rolling out",
        ),
        (
            service(
                "Serving",
                "all",
                (3, 3),
                json!([condition("Published", "False", "NoGateway", "no Gateway has taken the route up")]),
            ),
            "Serving on 3 of 3 pods; no Gateway publishes it: no Gateway has taken the route up",
        ),
        (
            service("ImagePullFailed", "image s:2: not found", (2, 3), json!([])),
            "1 of 3 pods can't pull image s:2: not found; 2 of 3 pods serve meanwhile",
        ),
        (
            service("DependencyMissing", "couldn't find key y in Secret demo/x", (0, 1), json!([])),
            "Waits: couldn't find key y in Secret demo/x; no pod serves",
        ),
        (service("Suspended", "suspend is true", (0, 0), json!([])), "Suspended: suspend is true"),
        (
            service("RollingOut", "1 of 3 replicas are updated", (3, 4), json!([])),
            "Rolling out: 1 of 3 replicas are updated; 3 of 4 pods serve meanwhile",
        ),
        (service("OfALaterRelease", "words", (0, 1), json!([])), "OfALaterRelease: words; no pod serves"),
    ];
    for (service, expected) in cases {
        assert_eq!(of(&service, &mixed()).why, expected);
    }
}

#[test]
fn every_reason_has_a_sentence() {
    for reason in kubesentiment_operator::api::Reason::ALL {
        let why = of(&service(reason.as_str(), "MESSAGE", (1, 1), json!([])), &mixed()).why;
        assert!(why.contains("MESSAGE") || why == "Serving on 1 of 1 pods", "{reason}: {why}");
        // As those of later releases begin.
        assert!(!why.starts_with(&format!("{reason}:")) || why.starts_with("Suspended"), "{reason}: {why}");
    }
}

#[test]
fn an_operator_that_lags_or_is_not_there_is_told() {
    let mut unseen = service("Serving", "all", (3, 3), json!([]));
    unseen["status"] = json!({"observedGeneration": -1});
    let why = of(&unseen, &mixed()).why;
    assert!(why.starts_with("No operator has looked at it") && why.ends_with("3 of 3 pods take traffic"), "{why}");
    let mut lagging = service("Serving", "all", (3, 3), json!([]));
    lagging["metadata"]["generation"] = json!(4);
    let expected = "The operator has yet to take up the last change (generation 4, its status is of 3); before: Serving on 3 of 3 pods";
    assert_eq!(of(&lagging, &[]).why, expected);
    let mut going = service("Serving", "all", (3, 3), json!([]));
    going["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(of(&going, &[]).why, "Being deleted");
}

#[test]
fn a_pod_says_in_the_words_of_who_knows() {
    let scheduled = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:05:00Z"}]);
    let crashed = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "MLOPS_PORT: 0 is no port"}});
    let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let cases = [
        (serving(), "Running", None),
        (unpullable(), "ImagePullBackOff", Some("image s:2: not found")),
        (
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}]}),
            "Pending",
            Some("no node"),
        ),
        (
            json!({"containerStatuses": [container("sentiment", 4, backing_off, crashed.clone())]}),
            "CrashLoopBackOff",
            Some("ended with exit code 1 (Error): MLOPS_PORT: 0 is no port"),
        ),
        (
            json!({"initContainerStatuses": [container("fetch-model", 0, json!({"running": {}}), json!({}))]}),
            "Init:Running",
            Some("init container fetch-model: the model is being fetched"),
        ),
        (
            json!({"containerStatuses": [container("istio-proxy", 1, json!({"running": {}}), crashed)]}),
            "Running",
            Some("container istio-proxy: was started again: ended with exit code 1 (Error): MLOPS_PORT: 0 is no port"),
        ),
        (
            json!({"conditions": scheduled}),
            "Pending",
            Some("nothing of it runs 300 s after it got its node: kubectl describe pod tells why"),
        ),
    ];
    for (status, phase, reason) in cases {
        let base = if phase.contains("Pending") || phase.contains("Pull") || phase.contains("Init") {
            "Pending"
        } else {
            "Running"
        };
        let found = of(&service("Serving", "", (1, 1), json!([])), &[pod("a", "reviews-2", base, status)])
            .pods
            .unwrap()
            .remove(0);
        assert_eq!((found.phase.as_str(), found.reason.as_deref()), (phase, reason));
    }
}

#[test]
fn a_report_as_text_and_as_json() {
    let report = of(&service("ImagePullFailed", "image s:2: not found", (2, 3), json!([])), &mixed());
    insta::assert_snapshot!("one", anstream::adapter::strip_str(&one(&report, false, now())).to_string());
    insta::assert_snapshot!("one-wide", anstream::adapter::strip_str(&one(&report, true, now())).to_string());
    insta::assert_snapshot!("json", output::serialized(Format::Json, &report).unwrap());
    let serving = of(&service("Serving", "all", (3, 3), json!([])), &[]);
    insta::assert_snapshot!(
        "all",
        anstream::adapter::strip_str(&show::all(&[report, serving], true, true)).to_string()
    );
}

fn server() -> Server {
    let server = Server::new();
    server.put(service("ImagePullFailed", "image s:2: not found", (2, 3), json!([])));
    for object in
        [deployment(), replica_set("reviews-1", "1"), replica_set("reviews-2", "2")].into_iter().chain(mixed())
    {
        server.put(object);
    }
    server
}

fn cluster(server: &Server) -> Cluster {
    Cluster { client: server.client(), namespace: "demo".to_owned() }
}

#[tokio::test]
async fn a_service_is_looked_at_with_what_belongs_to_it() {
    let server = server();
    let report = look(&cluster(&server), "reviews", now()).await.unwrap();
    assert_eq!(report.why, "1 of 3 pods can't pull image s:2: not found; 2 of 3 pods serve meanwhile");
    let pods: Vec<_> = report.pods.unwrap().into_iter().map(|pod| (pod.name, pod.current)).collect();
    let expected = [("reviews-1-a", Some(false)), ("reviews-1-b", Some(false)), ("reviews-2-c", Some(true))];
    assert_eq!(pods, expected.map(|(name, current)| (name.to_owned(), current)));
    let error = look(&cluster(&server), "other", now()).await.unwrap_err().to_string();
    assert!(error.starts_with("there is no SentimentService \"other\" in namespace \"demo\""), "{error}");
}

#[tokio::test]
async fn all_services_are_looked_at_with_few_requests() {
    let server = server();
    let mut other = service("Serving", "all", (1, 1), json!([]));
    other["metadata"]["name"] = json!("other");
    server.put(other);
    let reports = look_at_all(&cluster(&server), true, now()).await.unwrap();
    let pods: Vec<_> = reports.iter().map(|report| (&*report.name, report.pods.as_ref().unwrap().len())).collect();
    assert_eq!(pods, [("other", 0), ("reviews", 3)]);
}

#[tokio::test]
async fn what_may_not_be_read_is_left_out() {
    let server = server();
    server.faults().inject(requests("list", "pods"), Fault::Refused(403, "pods is forbidden"));
    let report = look(&cluster(&server), "reviews", now()).await.unwrap();
    assert_eq!(report.pods, None);
    assert_eq!(report.why, "Pods can't pull image s:2: not found; 2 of 3 pods serve meanwhile");
    server.uninstall("sentimentservices");
    let error = look(&cluster(&server), "reviews", now()).await.unwrap_err().to_string();
    assert!(error.contains("install the operator"), "{error}");
}
