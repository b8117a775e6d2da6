//! Watches that are late, that leave things out, and that tell too much.

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

const LATE: Duration = Duration::from_secs(10);

/// A service that serves, of which the watches of children tell late.
async fn heard_of_late() -> World {
    let mut world = World::serving(json!({"replicas": 2})).await;
    world.stop().await;
    for resource in ["deployments", "services", "serviceaccounts", "networkpolicies", "poddisruptionbudgets"] {
        world.server.faults().inject(requests("watch", resource), Fault::EventsLate(LATE));
    }
    world.start();
    sleep(SOON).await;
    world
}

/// Looks at the service again and again.
async fn looks_go_on(world: &World, seconds: u64) {
    for _ in 0..seconds * 2 {
        world.touch();
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn looks_before_the_watch_has_our_write_do_nothing() {
    let world = heard_of_late().await;
    let mark = world.mark();
    world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(9));
    looks_go_on(&world, 40).await;
    assert_eq!((world.replicas(), world.told("Repaired")), (json!(2), 1));
    // One that is in conflict with the edit, and one that takes the field back.
    assert_eq!(world.count_since(mark, "patch deployments/reviews"), 2);

    let mark = world.mark();
    world.delete(DEPLOYMENT);
    world.delete(SERVICE);
    looks_go_on(&world, 40).await;
    assert!(world.child(DEPLOYMENT).is_some() && world.child(SERVICE).is_some());
    assert_eq!(world.told("Repaired"), 2, "both in one");
    for child in ["patch deployments/reviews", "patch services/reviews"] {
        assert_eq!(world.count_since(mark, child), 1, "{child}: {:?}", world.asked_since(mark));
    }

    let mark = world.mark();
    world.ask_for(json!({"replicas": 3}));
    looks_go_on(&world, 40).await;
    assert_eq!(world.count_since(mark, "patch deployments/reviews"), 1);
    assert_eq!(world.told("Repaired"), 2);
    let writes = world.count_since(mark, "patch sentimentservices/reviews/status");
    assert!(writes <= 2, "{writes} writes of the status");
}

#[tokio::test(start_paused = true)]
async fn a_status_is_not_written_again_before_the_watch_has_it() {
    let mut world = World::serving(json!({})).await;
    world.stop().await;
    world.server.faults().inject(requests("watch", "sentimentservices"), Fault::EventsLate(LATE));
    world.start();
    sleep(SOON).await;
    let mark = world.mark();
    world.server.edit("apps", "deployments", "demo", "reviews", "kube-controller-manager", |object| {
        object["status"]["availableReplicas"] = json!(0);
    });
    for number in 0..20 {
        sleep(Duration::from_millis(300)).await;
        world.edit(DEPLOYMENT, |object| object["metadata"]["annotations"]["n"] = json!(number.to_string()));
    }
    sleep(LATE * 3).await;
    assert_eq!(world.count_since(mark, "patch sentimentservices/reviews/status"), 1);
    assert_eq!(world.status()["availableReplicas"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_its_watch_was_blind_is_made_again() {
    for is_new in [true, false] {
        let mut world = World::new();
        // The watch ends without a word of what happened, and a new list is taken after a while.
        world.server.faults().inject(requests("watch", "services").once(), Fault::EventsLate(Duration::from_hours(1)));
        world.server.faults().inject(requests("watch", "services").after(1), Fault::EventsRepeated);
        if !is_new {
            world.ask_for(json!({}));
        }
        world.start();
        sleep(SOON).await;
        if is_new {
            world.ask_for(json!({}));
            sleep(SOON).await;
        }
        world.delete(SERVICE);
        sleep(SOON).await;
        world.server.forget_history();
        sleep(Duration::from_mins(4)).await;
        assert!(world.child(SERVICE).is_some(), "made before the watch began: {}", !is_new);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_watch_has_missed_is_found_when_it_begins_anew() {
    let mut world = World::new();
    world.ask_for(json!({"replicas": 2}));
    world.server.faults().inject(requests("watch", "deployments").once(), Fault::EventsDropped(usize::MAX));
    world.start();
    sleep(SOON).await;
    world.delete(DEPLOYMENT);
    sleep(SOON).await;
    assert!(world.child(DEPLOYMENT).is_none(), "the operator can't know");
    sleep(Duration::from_mins(4)).await;
    assert!(world.child(DEPLOYMENT).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_of_which_nobody_tells_is_looked_at_again_and_costs_nothing() {
    let world = World::serving(json!({})).await;
    let (mark, looks) = (world.mark(), world.looks());
    sleep(Duration::from_mins(65)).await;
    let more = world.looks() - looks;
    assert!((5..=8).contains(&more), "{more} looks");
    assert_eq!(world.asked_since(mark), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn events_that_come_twice_or_in_one_make_no_difference() {
    for fault in [Fault::EventsRepeated, Fault::EventsCoalesced(Duration::from_millis(200))] {
        let mut world = World::new();
        world.server.faults().inject(requests("watch", "*"), fault.clone());
        world.ask_for(json!({"replicas": 2}));
        world.start();
        world.settles().await;
        world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(9));
        world.settles().await;
        assert_eq!((world.replicas(), world.reason().as_str()), (json!(2), "Serving"), "{fault:?}");
        // Once when it was made, and once when it was repaired.
        assert_eq!((world.told("Serving"), world.told("Repaired")), (2, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_pods_is_looked_at_at_once_and_then_from_time_to_time() {
    let world = World::serving(json!({"replicas": 1})).await;
    let pod = world.server.all("", "pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let (mark, looks) = (world.mark(), world.looks());
    for number in 0..50 {
        let touch = |object: &mut Value| object["metadata"]["annotations"]["n"] = json!(number.to_string());
        assert!(world.server.edit("", "pods", "demo", &pod, "kubelet", touch));
        if number == 0 {
            sleep(Duration::from_millis(2)).await;
            assert_eq!(world.looks() - looks, 1, "the first at once");
        }
        sleep(Duration::from_millis(20)).await;
    }
    let more = world.looks() - looks;
    assert!((18..=21).contains(&more), "a second of storm: {more} looks");
    sleep(SOON).await;
    assert_eq!(world.asked_since(mark), Vec::<String>::new());
}
