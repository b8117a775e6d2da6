//! What somebody changed by hand is put back, and nothing is left behind by that.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{DEPLOYMENT, ROUTE, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

/// The variables of the server's container, by name.
fn variable<'a>(deployment: &'a Value, name: &str) -> Option<&'a Value> {
    let all = deployment.pointer("/spec/template/spec/containers/0/env")?.as_array()?;
    all.iter().find(|entry| entry["name"] == name)
}

fn becomes_a_reference(object: &mut Value) {
    let all = object.pointer_mut("/spec/template/spec/containers/0/env").unwrap().as_array_mut().unwrap();
    let entry = all.iter_mut().find(|entry| entry["name"] == "TEAM").unwrap();
    *entry = json!({"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
}

fn ours(world: &World) -> Vec<String> {
    world.managers().into_iter().filter(|manager| manager.starts_with("kubesentiment-operator")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_put_back_and_so_is_what_was_deleted() {
    let world = World::serving(json!({"replicas": 2})).await;
    world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(9));
    sleep(SOON).await;
    assert_eq!((world.replicas(), world.told("Repaired")), (json!(2), 1));
    assert_eq!(ours(&world), ["kubesentiment-operator Apply"]);
    world.delete(SERVICE);
    sleep(SOON).await;
    assert!(world.child(SERVICE).is_some());
    assert_eq!(world.told("Repaired"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_variable_that_became_a_reference_is_put_back_and_the_next_spec_is_applied() {
    let world = World::serving(json!({"env": [{"name": "TEAM", "value": "a"}]})).await;
    world.edit(DEPLOYMENT, becomes_a_reference);
    sleep(SOON).await;
    assert_eq!(variable(&world.deployment(), "TEAM"), Some(&json!({"name": "TEAM", "value": "a"})));
    assert_eq!(ours(&world), ["kubesentiment-operator Apply"]);

    world.ask_for(json!({"profile": "Staging", "env": [{"name": "TEAM", "value": "b"}]}));
    world.settles().await;
    assert_eq!(world.reason(), "Serving", "{:#}", world.status());
    assert_eq!(variable(&world.deployment(), "MLOPS_PROFILE").unwrap()["value"], "staging");
    assert_eq!(variable(&world.deployment(), "TEAM").unwrap()["value"], "b");
    assert_eq!(ours(&world), ["kubesentiment-operator Apply"]);
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_is_cut_short_leaves_no_second_manager_and_no_field_that_nobody_owns() {
    for fault in [Fault::Answer(409), Fault::Answer(503), Fault::CutAfterActing, Fault::CutBeforeActing] {
        // An apply that is refused, the overwrite, an apply, and the managers.
        for step in 1..4 {
            let world = World::serving(json!({"env": [{"name": "TEAM", "value": "a"}]})).await;
            let writes = requests("patch", "deployments").after(step).once();
            world.server.faults().inject(writes, fault.clone());
            world.edit(DEPLOYMENT, becomes_a_reference);
            sleep(SOON).await;
            let case = format!("{fault:?} at step {step}");
            assert_eq!(variable(&world.deployment(), "TEAM"), Some(&json!({"name": "TEAM", "value": "a"})), "{case}");
            assert_eq!(ours(&world), ["kubesentiment-operator Apply"], "{case}");
            assert!(world.told("Repaired") <= 1, "{case}");

            world.ask_for(json!({"profile": "Staging"}));
            sleep(SOON).await;
            assert_eq!(variable(&world.deployment(), "TEAM"), None, "{case}: nobody asks for it any more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_is_known_by_its_owner_whatever_its_labels_say() {
    for (key, value) in [
        ("app.kubernetes.io/instance", json!("x")),
        ("app.kubernetes.io/managed-by", json!("x")),
        ("app.kubernetes.io/managed-by", json!(null)),
    ] {
        let world = World::serving(json!({})).await;
        let right = world.deployment()["metadata"]["labels"].clone();
        world.edit(DEPLOYMENT, |object| {
            let labels = object["metadata"]["labels"].as_object_mut().unwrap();
            if value.is_null() { drop(labels.remove(key)) } else { drop(labels.insert(key.to_owned(), value.clone())) }
        });
        let uid = world.deployment()["metadata"]["uid"].clone();
        sleep(SOON).await;
        let after = world.deployment();
        assert_eq!(after["metadata"]["labels"], right, "{key}: {value}");
        assert_eq!((&after["metadata"]["uid"], world.told("Repaired")), (&uid, 1), "{key}: {value}");
        assert_eq!(world.reason(), "Serving", "{key}: {value}: {:#}", world.status());
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_lost_its_owner_is_taken_back() {
    let mut world = World::serving(json!({})).await;
    let right = world.deployment()["metadata"]["ownerReferences"].clone();
    let lose = |object: &mut Value| drop(object["metadata"].as_object_mut().unwrap().remove("ownerReferences"));
    world.edit(DEPLOYMENT, lose);
    sleep(SOON).await;
    assert_eq!((&world.deployment()["metadata"]["ownerReferences"], world.reason().as_str()), (&right, "Serving"));

    // While nobody looks, as a backup leaves it.
    world.stop().await;
    world.edit(DEPLOYMENT, lose);
    world.start();
    sleep(SOON).await;
    assert_eq!((&world.deployment()["metadata"]["ownerReferences"], world.reason().as_str()), (&right, "Serving"));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_holds_anything_odd_concerns_its_own_service_only() {
    let spec = |host: &str| json!({"route": {"parentRefs": [{"name": "web"}], "hostnames": [host]}});
    let mut world = World::serving(spec("reviews.example.com")).await;
    world.ask_for_another("others", spec("others.example.com"));
    world.settles().await;
    world.edit(ROUTE, |object| {
        let rule = &mut object["spec"]["rules"][0];
        rule["filters"] = json!([{"type": "URLRewrite", "urlRewrite": {"hostname": 7}}]);
        rule["matches"] = json!("anything");
        object["status"] = json!({"parents": {"of": "another form"}});
    });
    world.restart().await;
    assert!(world.is_ready());
    for name in ["others", "reviews"] {
        let edit = |object: &mut Value| object["spec"]["hostnames"] = json!([1, 2]);
        assert!(world.server.edit(ROUTE.0, ROUTE.1, "demo", name, "kubectl-edit", edit));
        sleep(SOON).await;
        let route = world.server.get(ROUTE.0, ROUTE.1, "demo", name).unwrap();
        assert_eq!(route["spec"]["hostnames"], json!([format!("{name}.example.com")]));
        assert_eq!(world.reason_of(name), "Serving");
    }
}
