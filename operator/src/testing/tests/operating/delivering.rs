//! Models that come from elsewhere.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

fn image(reference: &str) -> Value {
    json!({"model": {"source": {"image": {"reference": reference}}}})
}

fn delivery(world: &World, name: &str) -> Value {
    world.status_of(name)["model"]["delivery"].clone()
}

fn init_container(world: &World) -> Value {
    world.deployment()["spec"]["template"]["spec"]["initContainers"][0]["name"].clone()
}

/// Whether the pods of the template have their model.
fn has_its_model(world: &World) -> bool {
    let pod = &world.deployment()["spec"]["template"]["spec"];
    pod["volumes"].as_array().unwrap().iter().any(|volume| volume["name"] == "model")
}

#[tokio::test(start_paused = true)]
async fn where_image_volumes_are_off_pods_fetch_and_nobody_asks_twice() {
    let mut world = World::new();
    world.server.drop_image_volumes(true);
    world.ask_for(image("registry.example.com/models/reviews:3"));
    let mark = world.mark();
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), init_container(&world)), ("Serving", json!("fetch-model")));
    assert_eq!((delivery(&world, "reviews"), has_its_model(&world)), (json!("Fetched"), true));
    assert_eq!(world.count_since(mark, "patch deployments/reviews"), 2, "one asks, and one writes");
    assert_eq!(world.server.all("apps", "replicasets").len(), 1, "no pod has begun without its model");

    let mark = world.mark();
    world.ask_for_another("others", image("registry.example.com/models/others:1"));
    sleep(SOON).await;
    assert_eq!(delivery(&world, "others"), "Fetched");
    assert_eq!(world.count_since(mark, "patch deployments/others"), 1);
    world.settles().await;

    // An operator that has just started asks once, and leaves all as it is.
    let (mark, before) = (world.mark(), world.deployment());
    world.restart().await;
    let patches = world.asked_since(mark).iter().filter(|asked| asked.starts_with("patch deployments/")).count();
    assert!((1..=2).contains(&patches), "{patches} dry runs, one for each that began before the first was answered");
    assert_eq!(world.deployment()["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert_eq!(delivery(&world, "reviews"), "Fetched");

    // Switched on, the next one mounts it.
    world.server.drop_image_volumes(false);
    world.restart().await;
    world.settles().await;
    world.settles().await;
    assert_eq!((init_container(&world), has_its_model(&world)), (json!(null), true));
    assert_eq!(delivery(&world, "reviews"), "ImageVolume");
}

#[tokio::test(start_paused = true)]
async fn image_volumes_that_are_switched_off_later_are_told_by_the_answer() {
    let mut world = World::new();
    world.ask_for_another("others", image("registry.example.com/models/others:1"));
    world.start();
    world.settles().await;
    assert_eq!(delivery(&world, "others"), "ImageVolume");
    world.server.drop_image_volumes(true);
    world.ask_for(image("registry.example.com/models/reviews:3"));
    world.settles().await;
    assert_eq!((world.reason().as_str(), init_container(&world)), ("Serving", json!("fetch-model")));
    assert!(has_its_model(&world));
}

#[tokio::test(start_paused = true)]
async fn where_a_dry_run_is_refused_the_answer_to_the_write_tells() {
    let mut world = World::new();
    world.server.drop_image_volumes(true);
    // As by a webhook that can't do without acting.
    let refused = Fault::Refused(400, "admission webhook \"a\" does not support dry run");
    world.server.faults().inject(requests("patch", "deployments").once(), refused);
    world.ask_for(image("registry.example.com/models/reviews:3"));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), init_container(&world)), ("Serving", json!("fetch-model")));
    assert_eq!((delivery(&world, "reviews"), has_its_model(&world)), (json!("Fetched"), true));
}

#[tokio::test(start_paused = true)]
async fn a_claim_comes_and_goes_with_its_field() {
    const CLAIM: (&str, &str) = ("", "persistentvolumeclaims");
    let claim = |world: &World| world.server.get(CLAIM.0, CLAIM.1, "demo", "reviews-model");
    let cached = |cache: Value| json!({"model": {"source": {"s3": {"bucket": "abc"}}, "cache": cache}});
    let size = |claim: &Value| claim["spec"]["resources"]["requests"]["storage"].clone();
    let world = World::serving(cached(json!({"size": "1Gi"}))).await;
    assert_eq!(size(&claim(&world).unwrap()), "1Gi");
    assert_eq!(delivery(&world, "reviews"), "Fetched");

    // Somebody makes it larger: that is taken over, and then all is quiet.
    let mark = world.mark();
    assert!(world.server.edit(CLAIM.0, CLAIM.1, "demo", "reviews-model", "an-autoresizer", |claim| {
        claim["spec"]["resources"]["requests"]["storage"] = json!("4Gi");
    }));
    sleep(SOON * 100).await;
    assert_eq!(size(&claim(&world).unwrap()), "4Gi");
    assert!(world.count_since(mark, "patch persistentvolumeclaims/reviews-model") <= 1);
    world.ask_for(cached(json!({"size": "8Gi"})));
    sleep(SOON).await;
    assert_eq!(size(&claim(&world).unwrap()), "8Gi");

    assert!(world.server.remove(CLAIM.0, CLAIM.1, "demo", "reviews-model").is_some());
    sleep(SOON).await;
    assert!(claim(&world).is_some(), "it is put back");
    world.ask_for(json!({}));
    world.settles().await;
    assert!(claim(&world).is_none());
    assert!(world.child(DEPLOYMENT).is_some() && world.child(SERVICE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_holds_another_model_is_an_event() {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let hub = |profile: &str| json!({"model": {"source": {"huggingFace": {"repository": "a/b"}}}, "profile": profile});
    let mut world = World::new();
    world.models.say(&digest("a"));
    world.ask_for(hub("Staging"));
    world.start();
    world.settles().await;
    assert_eq!(world.status()["model"]["digest"], digest("a"));
    // Another operator knows it from the status.
    world.restart().await;
    world.models.say(&digest("b"));
    world.ask_for(hub("Production"));
    world.settles().await;
    assert_eq!(world.status()["model"]["digest"], digest("b"));
    assert_eq!(world.told("ModelChanged"), 1);
    sleep(SOON * 100).await;
    assert_eq!(world.told("ModelChanged"), 1);

    // With a digest in the spec, or another source, it is what was asked for.
    world.models.say(&digest("c"));
    let mut pinned = hub("Production");
    pinned["model"]["digest"] = json!(digest("c"));
    world.ask_for(pinned);
    world.settles().await;
    world.models.say(&digest("d"));
    world.ask_for(json!({"model": {"source": {"s3": {"bucket": "abc"}}}}));
    world.settles().await;
    assert_eq!(world.status()["model"]["digest"], digest("d"));
    assert_eq!(world.told("ModelChanged"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_later_and_has_another_model_is_told() {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let mut world = World::new();
    world.models.say(&digest("a"));
    world.ask_for(json!({"model": {"source": {"huggingFace": {"repository": "a/b"}}}}));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), world.models.asked().len()), ("Serving", 1));

    // The node of one is gone; what takes its place fetches what the branch has now.
    world.models.say(&digest("b"));
    let pods = world.server.all("", "pods");
    let old = pods.into_iter().find(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with("reviews-")).unwrap();
    world.server.remove("", "pods", "demo", old["metadata"]["name"].as_str().unwrap());
    let mut new = old;
    new["metadata"]["name"] = json!("reviews-later");
    new["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    new["status"]["podIP"] = json!("192.0.2.77");
    world.server.put_as("kube-controller-manager", new);
    sleep(SOON).await;
    assert_eq!(world.models.asked()[1..], ["192.0.2.77:8081/api/v1/model-info"]);
    assert_eq!(world.status()["model"]["digest"], digest("b"));
    assert_eq!((world.reason().as_str(), world.told("ModelChanged")), ("Serving", 1));

    // It is asked once, whatever comes and goes that is older.
    world.touch();
    world.server.remove("", "pods", "demo", "reviews-later");
    sleep(SOON * 100).await;
    assert_eq!((world.models.asked().len(), world.told("ModelChanged")), (2, 1));
    assert_eq!(world.status()["model"]["digest"], digest("b"));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_can_not_change_is_asked_for_once() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut world = World::new();
    world.models.say(&digest);
    world.ask_for(json!({"model": {"source": {"s3": {"bucket": "abc"}}, "digest": digest}}));
    world.start();
    world.settles().await;
    let pods = world.server.all("", "pods");
    let mut new = pods.into_iter().next().unwrap();
    new["metadata"]["name"] = json!("reviews-later");
    new["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    world.server.put_as("kube-controller-manager", new);
    world.restart().await;
    sleep(SOON * 100).await;
    assert_eq!(world.models.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_the_operator_does_not_list_is_refused_and_what_runs_goes_on() {
    let mut world = World::new();
    world.model_hosts = vec!["*.example.com".to_owned()];
    world.ask_for(image("registry.example.com/models/reviews:3"));
    world.start();
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
    let before = world.deployment();
    world.ask_for(json!({"model": {"source": {"huggingFace": {"repository": "a/b"}}}}));
    sleep(SOON).await;
    assert_eq!((world.reason().as_str(), world.told("InvalidSpec")), ("InvalidSpec", 1));
    assert!(
        world.message().contains("names huggingface.co, and this operator lets models come from *.example.com only")
    );
    assert_eq!(world.deployment()["spec"], before["spec"]);
    assert_eq!(world.status()["availableReplicas"], 2);
    world.model_hosts.clear();
    world.restart().await;
    world.settles().await;
    assert_eq!((world.reason().as_str(), delivery(&world, "reviews")), ("Serving", json!("Fetched")));
}
