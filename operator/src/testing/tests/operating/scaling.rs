//! A number of pods that an autoscaler chose isn't lost.

use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{AUTOSCALER, DEPLOYMENT, SOON, World};
use crate::testing::{Fault, requests};

/// An autoscaler that has chosen three pods, and says so or not.
async fn scaled(says_so: bool) -> World {
    let world = World::serving(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 5}})).await;
    let scale = |object: &mut Value| object["spec"]["replicas"] = json!(3);
    assert!(world.server.edit("apps", "deployments", "demo", "reviews", "kube-controller-manager", scale));
    if says_so {
        world.edit(AUTOSCALER, |object| object["status"] = json!({"desiredReplicas": 3, "currentReplicas": 3}));
    }
    world.settles().await;
    assert_eq!(world.replicas(), 3);
    world
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_was_deleted_comes_back_with_what_its_autoscaler_held() {
    for says_so in [true, false] {
        let world = scaled(says_so).await;
        world.delete(DEPLOYMENT);
        sleep(SOON).await;
        assert_eq!(world.replicas(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn so_it_does_if_it_was_deleted_while_no_operator_ran() {
    let mut world = scaled(true).await;
    world.stop().await;
    world.delete(DEPLOYMENT);
    world.start();
    sleep(SOON).await;
    assert_eq!(world.replicas(), 3);
}

#[tokio::test(start_paused = true)]
async fn so_it_does_if_requests_fail_and_the_next_spec_does_not_set_it_back() {
    for fault in [Fault::CutAfterActing, Fault::CutBeforeActing, Fault::Answer(503), Fault::Answer(409)] {
        for step in 0..2 {
            let world = scaled(true).await;
            world.server.faults().inject(requests("patch", "deployments").after(step).once(), fault.clone());
            world.delete(DEPLOYMENT);
            sleep(SOON).await;
            assert_eq!(world.replicas(), 3, "{fault:?} at step {step}");
            world.ask_for(json!({"profile": "Staging", "autoscaling": {"minReplicas": 1, "maxReplicas": 5}}));
            sleep(SOON).await;
            assert_eq!(world.replicas(), 3, "{fault:?} at step {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn so_it_does_if_the_answer_is_lost_and_the_watch_is_late() {
    let mut world = scaled(true).await;
    world.stop().await;
    world.delete(DEPLOYMENT);
    world.server.faults().inject(requests("watch", "deployments"), Fault::EventsLate(SOON * 2));
    world.server.faults().inject(requests("patch", "deployments").once(), Fault::CutAfterActing);
    world.start();
    sleep(SOON * 4).await;
    assert_eq!(world.replicas(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_is_handed_over_to_an_autoscaler_keeps_its_pods_on_the_way() {
    let world = World::serving(json!({"replicas": 4})).await;
    world.ask_for(json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 5}}));
    sleep(SOON).await;
    assert_eq!(world.replicas(), 4);
    let managers = world.managers();
    assert!(managers.contains(&"kubesentiment-operator-scale Apply".to_owned()), "{managers:?}");
}
