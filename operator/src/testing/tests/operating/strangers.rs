//! What belongs to somebody else is left alone, and told.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

fn of_a_stranger(kind: (&str, &str)) -> Value {
    json!({
        "apiVersion": kind.0, "kind": kind.1, "spec": {"selector": {"app": "other"}},
        "metadata": {"name": "reviews", "namespace": "demo", "labels": {"app": "other"}},
    })
}

#[tokio::test(start_paused = true)]
async fn an_object_of_a_stranger_is_not_touched_and_when_it_is_gone_ours_is_made() {
    let mut world = World::new();
    let before = world.server.put(of_a_stranger(("v1", "Service")));
    world.ask_for(json!({}));
    world.start();
    sleep(Duration::from_mins(2)).await;
    assert_eq!(world.child(SERVICE), Some(before));
    assert_eq!(world.reason(), "ApplyFailed");
    assert!(world.message().starts_with("Service reviews exists already and doesn't belong"), "{}", world.message());
    assert_eq!(world.told("ApplyFailed"), 1);
    world.delete(SERVICE);
    sleep(Duration::from_mins(6)).await;
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
}

#[tokio::test(start_paused = true)]
async fn what_a_stranger_has_made_in_place_of_ours_is_not_touched_before_the_watch_tells_of_it() {
    let mut world = World::new();
    world.server.faults().inject(requests("watch", "deployments"), Fault::EventsLate(Duration::from_mins(1)));
    world.ask_for(json!({"replicas": 1}));
    world.start();
    sleep(Duration::from_mins(3)).await;
    world.delete(DEPLOYMENT);
    let theirs = world.server.put(of_a_stranger(("apps/v1", "Deployment")));
    world.ask_for(json!({"replicas": 2}));
    sleep(Duration::from_secs(50)).await;
    assert_eq!(world.deployment(), theirs);
    assert_eq!(world.reason(), "RollingOut", "a lost race is no failure: {:#}", world.status());
    sleep(Duration::from_mins(2)).await;
    assert_eq!((world.deployment(), world.reason().as_str()), (theirs, "ApplyFailed"));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_not_made_by_a_write_that_takes_it_to_be_there() {
    let mut world = World::new();
    world.server.faults().inject(requests("watch", "deployments"), Fault::EventsLate(Duration::from_mins(1)));
    world.ask_for(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 5}}));
    world.start();
    sleep(Duration::from_mins(3)).await;
    world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(3));
    sleep(Duration::from_mins(3)).await;
    world.delete(DEPLOYMENT);
    world.ask_for(json!({"profile": "Staging", "autoscaling": {"minReplicas": 1, "maxReplicas": 5}}));
    sleep(Duration::from_mins(4)).await;
    assert_eq!(world.replicas(), 3, "with one pod it would have been another Deployment");
}

#[tokio::test(start_paused = true)]
async fn a_field_that_another_tool_declares_is_told_and_not_fought_over() {
    let world = World::serving(json!({"replicas": 2})).await;
    let api: Api<Deployment> = Api::namespaced(world.server.client_apart(), "demo");
    let declare = |spec: Value| {
        let api = api.clone();
        async move {
            let object = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews"}, "spec": spec,
            });
            api.patch("reviews", &PatchParams::apply("flux").force(), &Patch::Apply(object)).await.unwrap();
        }
    };
    declare(json!({"replicas": 7})).await;
    let mark = world.mark();
    sleep(Duration::from_mins(5)).await;
    assert_eq!((world.replicas(), world.reason().as_str()), (json!(7), "ApplyFailed"));
    assert!(world.message().contains("conflict with \"flux\""), "{}", world.message());
    let tries = world.count_since(mark, "patch deployments/reviews");
    assert!((1..=12).contains(&tries), "{tries}");
    assert_eq!(world.told("ApplyFailed"), 1);
    declare(json!({})).await;
    sleep(SOON).await;
    world.settles().await;
    assert_eq!((world.replicas(), world.reason().as_str()), (json!(2), "Serving"));
}
