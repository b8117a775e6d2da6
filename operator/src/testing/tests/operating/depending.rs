//! A ConfigMap that isn't there.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{DEPLOYMENT, SERVICE, SOON, World};

fn settings(level: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "demo"},
        "data": {"server.yaml": format!("log_level: {level}")},
    })
}

fn spec(replicas: i32) -> Value {
    json!({"replicas": replicas, "configMapRef": {"name": "settings"}})
}

async fn that_has_lost_its_settings() -> World {
    let mut world = World::new();
    world.server.put(settings("info"));
    world.ask_for(spec(2));
    world.start();
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
    world.server.remove("", "configmaps", "demo", "settings");
    sleep(SOON).await;
    world
}

#[tokio::test(start_paused = true)]
async fn without_its_settings_all_goes_on_that_does_not_depend_on_them() {
    let world = that_has_lost_its_settings().await;
    assert_eq!((world.reason().as_str(), world.told("DependencyMissing")), ("DependencyMissing", 1));
    assert!(world.message().contains("ConfigMap \"settings\""), "{}", world.message());
    let template = world.deployment()["spec"]["template"].clone();
    world.delete(SERVICE);
    sleep(SOON).await;
    assert!(world.child(SERVICE).is_some());
    world.ask_for(spec(3));
    sleep(SOON).await;
    assert_eq!((world.replicas(), &world.deployment()["spec"]["template"]), (json!(3), &template));
    world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(9));
    sleep(SOON).await;
    assert_eq!(world.replicas(), 3);
    assert_eq!((world.reason().as_str(), world.told("DependencyMissing")), ("DependencyMissing", 1));

    let mark = world.mark();
    sleep(SOON * 60).await;
    assert_eq!(world.asked_since(mark).iter().filter(|asked| asked.starts_with("patch")).count(), 0);

    world.server.put(settings("info"));
    world.settles().await;
    assert_eq!((world.reason().as_str(), &world.deployment()["spec"]["template"]), ("Serving", &template));
    world.server.put(settings("debug"));
    sleep(SOON).await;
    assert_ne!(world.deployment()["spec"]["template"], template);
}

#[tokio::test(start_paused = true)]
async fn without_its_settings_there_is_no_first_pod_but_an_address() {
    let mut world = World::new();
    world.ask_for(spec(2));
    world.start();
    sleep(SOON).await;
    assert!(world.child(DEPLOYMENT).is_none() && world.child(SERVICE).is_some());
    assert_eq!(world.reason(), "DependencyMissing");
    world.server.put(settings("info"));
    sleep(SOON).await;
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
}
