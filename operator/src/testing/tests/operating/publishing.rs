//! Two routes, of which the cluster may know one kind, or none.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{GRPC_ROUTE, ROUTE, SOON, World};

fn spec(grpc: bool) -> Value {
    let mut spec = json!({"route": {"parentRefs": [{"name": "public"}], "hostnames": ["reviews.example.com"]}});
    if grpc {
        spec["route"]["grpc"] = json!({});
    }
    spec
}

fn published(world: &World) -> Value {
    let status = world.status();
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == "Published").cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_route_for_grpc_comes_and_goes_with_the_spec() {
    let world = World::serving(spec(true)).await;
    let made = world.child(GRPC_ROUTE).unwrap();
    assert_eq!(made["spec"]["parentRefs"], world.child(ROUTE).unwrap()["spec"]["parentRefs"]);
    assert_eq!(made["spec"]["rules"][0]["backendRefs"], json!([{"name": "reviews", "port": 8001}]));
    world.edit(GRPC_ROUTE, |object| object["spec"]["hostnames"] = json!(["elsewhere.example.com"]));
    sleep(SOON).await;
    assert_eq!(world.child(GRPC_ROUTE).unwrap()["spec"]["hostnames"], json!(["reviews.example.com"]));
    world.ask_for(spec(false));
    world.settles().await;
    assert!(world.child(GRPC_ROUTE).is_none() && world.child(ROUTE).is_some());
    assert_eq!(world.reason(), "Serving");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_this_kind_has_the_other_and_takes_it_up_when_it_comes() {
    let mut world = World::new();
    world.server.uninstall("grpcroutes");
    world.ask_for(spec(true));
    world.start();
    world.settles().await;
    world.edit(ROUTE, |object| {
        let accepted = json!([{"type": "Accepted", "status": "True"}]);
        object["status"] = json!({"parents": [{"parentRef": {"name": "public"}, "conditions": accepted}]});
    });
    world.settles().await;
    assert!(world.child(ROUTE).is_some() && world.child(GRPC_ROUTE).is_none());
    let condition = published(&world);
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("DependencyMissing")));
    assert!(condition["message"].as_str().unwrap().contains("remove spec.route.grpc"), "{condition}");
    world.server.install("grpcroutes");
    world.server.put(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "grpcroutes.gateway.networking.k8s.io"},
    }));
    sleep(SOON * 12).await;
    assert!(world.child(GRPC_ROUTE).is_some());
    assert_ne!(published(&world)["reason"], "DependencyMissing");
}

#[tokio::test(start_paused = true)]
async fn without_that_kind_nobody_misses_it_who_did_not_ask() {
    let mut world = World::new();
    world.server.uninstall("grpcroutes");
    world.ask_for(spec(false));
    world.start();
    world.settles().await;
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
    assert_ne!(published(&world)["reason"], "DependencyMissing");
}
