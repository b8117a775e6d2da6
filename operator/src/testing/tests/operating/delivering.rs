//! Models that come from elsewhere.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

/// As kube-apiserver answers with the feature gate off.
const NO_IMAGE_VOLUMES: &str = "Deployment.apps \"reviews\" is invalid: [spec.template.spec.volumes[2]: Required value: must \
                                specify a volume type, spec.template.spec.containers[0].volumeMounts[2].name: Not found: \
                                \"model\"]";

fn image(reference: &str) -> Value {
    json!({"model": {"source": {"image": {"reference": reference}}}})
}

fn delivery(world: &World, name: &str) -> Value {
    world.status_of(name)["model"]["delivery"].clone()
}

fn init_container(world: &World) -> Value {
    world.deployment()["spec"]["template"]["spec"]["initContainers"][0]["name"].clone()
}

#[tokio::test(start_paused = true)]
async fn where_image_volumes_are_off_pods_fetch_and_nobody_asks_twice() {
    let mut world = World::new();
    world.server.faults().inject(requests("patch", "deployments").once(), Fault::Refused(422, NO_IMAGE_VOLUMES));
    world.ask_for(image("registry.example.com/models/reviews:3"));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), init_container(&world)), ("Serving", json!("fetch-model")));
    assert_eq!(delivery(&world, "reviews"), "Fetched");
    assert_eq!(world.told("ApplyFailed"), 0, "it is no failure");

    // The next one needs no refusal, and neither does another spec.
    let mark = world.mark();
    world.ask_for_another("others", image("registry.example.com/models/others:1"));
    sleep(SOON).await;
    assert_eq!(delivery(&world, "others"), "Fetched");
    assert_eq!(world.count_since(mark, "patch deployments/others"), 1);

    // An operator that has just started leaves it so, until there is a reason to write.
    world.settles().await;
    let (mark, before) = (world.mark(), world.deployment());
    world.restart().await;
    assert_eq!(world.count_since(mark, "patch deployments/reviews"), 0);
    assert_eq!(world.deployment()["spec"], before["spec"]);
    assert_eq!(delivery(&world, "reviews"), "Fetched");
    world.ask_for(image("registry.example.com/models/reviews:4"));
    world.settles().await;
    assert_eq!((init_container(&world), delivery(&world, "reviews")), (json!(null), json!("ImageVolume")));
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
