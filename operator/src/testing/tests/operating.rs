//! The operator as a whole works on the server in memory.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    controller::Operator,
    fixtures::default_image,
    metrics::Metrics,
    testing::{Fault, Server, requests},
    watches::Scope,
};

/// Longer than anything that isn't a time-out.
const SOON: Duration = Duration::from_secs(5);

fn start(server: &Server) -> CancellationToken {
    let operator = Arc::new(Operator::new(server.client(), default_image(), Metrics::default()));
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move { operator.run(&[Scope::Cluster], 8, || (), stopping).await });
    stop
}

fn service(spec: &Value) -> Value {
    json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
        "metadata": {"name": "reviews", "namespace": "demo"}, "spec": spec,
    })
}

fn deployment(server: &Server) -> Option<Value> {
    server.get("apps", "deployments", "demo", "reviews")
}

fn asked(server: &Server) -> Vec<String> {
    server.faults().seen().into_iter().filter(|request| !request.starts_with("watch")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_service_is_made_and_kept_as_it_is_to_be() {
    let server = Server::new();
    let _stop = start(&server);
    server.put(service(&json!({"replicas": 2})));
    sleep(SOON).await;
    for (group, resource) in [
        ("apps", "deployments"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
    ] {
        assert_eq!(server.all(group, resource).len(), 1, "{resource}; asked: {:#?}", asked(&server));
    }
    let reported = server.get("kubesentiment.io", "sentimentservices", "demo", "reviews").unwrap();
    assert_eq!(reported["status"]["conditions"][0]["reason"], "RollingOut", "{reported}");

    let edited = |object: &mut Value| object["spec"]["replicas"] = json!(9);
    assert!(server.edit("apps", "deployments", "demo", "reviews", "kubectl-edit", edited));
    sleep(SOON).await;
    assert_eq!(deployment(&server).unwrap()["spec"]["replicas"], 2);
    server.remove("apps", "deployments", "demo", "reviews");
    sleep(SOON).await;
    assert!(deployment(&server).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_the_watch_has_missed_is_found_when_it_begins_anew() {
    let server = Server::new();
    server.put(service(&json!({"replicas": 2})));
    server.faults().inject(requests("watch", "deployments").once(), Fault::EventsDropped(usize::MAX));
    let _stop = start(&server);
    sleep(SOON).await;
    server.remove("apps", "deployments", "demo", "reviews");
    sleep(SOON).await;
    assert!(deployment(&server).is_none(), "the operator can't know");
    sleep(Duration::from_mins(4)).await;
    assert!(deployment(&server).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_for_a_while_is_asked_again() {
    for fault in [Fault::Answer(503), Fault::TooManyRequests(1), Fault::Unanswered, Fault::CutAfterActing] {
        let server = Server::new();
        server.faults().inject(requests("patch", "deployments").times(2), fault.clone());
        let _stop = start(&server);
        server.put(service(&json!({"replicas": 1})));
        sleep(Duration::from_mins(2)).await;
        let reported = server.get("kubesentiment.io", "sentimentservices", "demo", "reviews").unwrap();
        let reason = &reported["status"]["conditions"][0]["reason"];
        assert!(deployment(&server).is_some() && reason == "RollingOut", "{fault:?}: {reported}");
    }
}
