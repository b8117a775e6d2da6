//! Connections that end in the middle, at each of the requests that a service takes.

use serde_json::json;
use tokio::time::{Duration, sleep};

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

#[tokio::test(start_paused = true)]
async fn wherever_an_answer_is_lost_the_end_is_the_same_and_nothing_is_told_twice() {
    for fault in [Fault::CutAfterActing, Fault::CutBeforeActing, Fault::StopsInTheMiddle, Fault::Answer(500)] {
        for place in 0..8 {
            let mut world = World::new();
            world.start();
            sleep(SOON).await;
            world.server.faults().inject(requests("patch", "*").after(place).once(), fault.clone());
            world.ask_for(json!({"replicas": 2}));
            sleep(SOON * 4).await;
            world.settles().await;
            sleep(SOON * 4).await;
            let case = format!("{fault:?} at request {place}");
            assert_eq!(world.reason(), "Serving", "{case}: {:#}", world.status());
            assert!(world.told("Serving") <= 1 && world.told("Repaired") == 0, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_answer_is_lost_is_told_once_at_most() {
    for late in [Duration::ZERO, Duration::from_secs(3)] {
        for place in 0..3 {
            let mut world = World::serving(json!({"replicas": 2})).await;
            world.stop().await;
            world.server.faults().inject(requests("watch", "deployments"), Fault::EventsLate(late));
            world.start();
            sleep(SOON).await;
            let lost = requests("patch", "deployments").after(place).once();
            world.server.faults().inject(lost, Fault::CutAfterActing);
            world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(9));
            sleep(SOON * 4).await;
            world.settles().await;
            let case = format!("events {late:?} late, request {place}");
            assert_eq!((world.replicas(), world.reason().as_str()), (json!(2), "Serving"), "{case}");
            assert!(world.told("Repaired") <= 1, "{case}: {}", world.told("Repaired"));
            world.delete(SERVICE);
            sleep(SOON).await;
            assert!(world.child(SERVICE).is_some(), "{case}");
        }
    }
}
