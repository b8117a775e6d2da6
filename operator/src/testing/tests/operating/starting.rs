//! The first looks of an operator, and its end.

use std::sync::Arc;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::world::{SOON, World};
use crate::{
    controller::Operator,
    fixtures::default_image,
    metrics::Metrics,
    testing::{Fault, Server, requests},
    watches::Scope,
};

/// As many pods of others as make more than ten pages.
fn crowd(world: &World) {
    for number in 0..520 {
        world.server.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": format!("another-{number:03}"), "namespace": "demo",
                "labels": {"app.kubernetes.io/managed-by": "kubesentiment-operator"},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "another", "uid": "x", "controller": true},
                ],
            },
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_verdict_before_all_pages_are_there() {
    let mut world = World::serving(json!({})).await;
    world.stop().await;
    crowd(&world);
    for resource in ["pods", "replicasets", "deployments", "sentimentservices", "configmaps"] {
        world.server.faults().inject(requests("list", resource), Fault::LaterPagesLate(Duration::from_secs(3)));
    }
    let (before, mark) = (world.status(), world.mark());
    world.start();
    sleep(Duration::from_secs(20)).await;
    assert!(!world.is_ready() && world.looks() == 0, "{} looks", world.looks());
    sleep(Duration::from_secs(100)).await;
    assert!(world.is_ready() && world.looks() > 0);
    assert_eq!((world.status(), world.asked_since(mark)), (before, Vec::new()), "nothing has moved");
}

#[tokio::test(start_paused = true)]
async fn while_a_watch_begins_anew_what_was_seen_stands() {
    let mut world = World::serving(json!({})).await;
    world.stop().await;
    crowd(&world);
    world.server.faults().inject(requests("watch", "pods").once(), Fault::Expires(1));
    world.server.faults().inject(requests("list", "pods").after(11), Fault::LaterPagesLate(Duration::from_secs(3)));
    world.start();
    sleep(SOON).await;
    let (before, mark, lists) = (world.status(), world.mark(), world.server.faults().count("list pods"));
    world.server.remove("", "pods", "demo", "another-000");
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        world.touch();
    }
    assert!(world.server.faults().count("list pods") > lists, "it has begun anew");
    assert_eq!((world.status(), world.asked_since(mark)), (before, Vec::new()), "no status of half a list");
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_starts_anew_writes_nothing() {
    let mut world = World::serving(json!({
        "autoscaling": {"minReplicas": 2, "maxReplicas": 5}, "monitoring": {},
        "route": {"parentRefs": [{"name": "web"}], "hostnames": ["reviews.example.com"]},
    }))
    .await;
    let mark = world.mark();
    world.restart().await;
    assert!(world.is_ready() && world.looks() > 0);
    assert_eq!(world.asked_since(mark), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_it_within_a_second_while_the_first_lists_are_out() {
    for resource in ["*", "sentimentservices", "pods", "configmaps"] {
        let (server, stop) = (Server::new(), CancellationToken::new());
        server.faults().inject(requests("list", resource), Fault::Unanswered);
        let operator = Arc::new(Operator::new(server.client(), default_image(), Metrics::default()));
        let running = tokio::spawn(operator.run(Box::leak(Box::new([Scope::Cluster])), 8, || (), stop.clone()));
        sleep(SOON).await;
        let began = Instant::now();
        stop.cancel();
        timeout(SOON, running).await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{resource}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_schema_made_is_that_of_a_new_service() {
    let mut world = World::new();
    world.server.put(json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "spec": {},
        "metadata": {"name": "reviews", "namespace": "demo"}, "status": {"observedGeneration": -1},
    }));
    world.start();
    sleep(SOON).await;
    assert_eq!((&world.status()["observedGeneration"], world.reason().as_str()), (&json!(1), "RollingOut"));
    world.settles().await;
    assert_eq!((world.reason().as_str(), world.told("Serving")), ("Serving", 1));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_keeps_its_address_and_says_so_once() {
    let mut world = World::serving(json!({"replicas": 2})).await;
    let before = world.status();
    world.ask_for(json!({"replicas": "many"}));
    sleep(SOON).await;
    let told = world.told("InvalidSpec");
    let mark = world.mark();
    for _ in 0..2 {
        let status = world.status();
        assert_eq!((world.reason().as_str(), told), ("InvalidSpec", 1));
        for field in ["url", "selector", "replicas", "availableReplicas", "image", "model"] {
            assert_eq!(status[field], before[field], "{field}");
        }
        world.restart().await;
    }
    assert_eq!((world.asked_since(mark), world.told("InvalidSpec")), (Vec::new(), 1));
    world.ask_for(json!({"replicas": 2}));
    sleep(SOON).await;
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
}
