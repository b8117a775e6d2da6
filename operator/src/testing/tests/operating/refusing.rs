//! An API server that refuses, doesn't answer, or is overloaded.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::world::{DEPLOYMENT, SERVICE, SOON, World};
use crate::testing::{Fault, requests};

fn of_reviews() -> crate::testing::Matching {
    requests("patch", "deployments").named("reviews")
}

/// Makes another service, and tells how long that takes.
async fn another_is_made(world: &World, name: &str) -> Duration {
    let began = Instant::now();
    world.ask_for_another(name, json!({}));
    while world.reason_of(name).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(world.server.get("apps", "deployments", "demo", name).is_some());
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_holds_up_its_own_service_and_is_made_again() {
    let mut world = World::new();
    world.start();
    sleep(SOON).await;
    world.server.faults().inject(of_reviews().once(), Fault::Unanswered);
    world.ask_for(json!({}));
    sleep(Duration::from_millis(100)).await;
    for name in ["a", "b", "c"] {
        assert!(another_is_made(&world, name).await < Duration::from_secs(1));
    }
    assert!(world.child(DEPLOYMENT).is_none());
    sleep(Duration::from_secs(17)).await;
    assert!(world.child(DEPLOYMENT).is_some());
    assert_eq!(world.metric(r#"api_requests_total{verb="patch",resource="deployments",code="timeout"}"#), 1);
}

#[tokio::test(start_paused = true)]
async fn two_minutes_of_too_many_requests_are_few_tries_that_are_seen_and_slow_nobody_else() {
    for (fault, most) in [
        (Fault::Answer(429), 9),
        (Fault::TooManyRequests(1), 9),
        (Fault::TooManyRequests(30), 5),
        (Fault::Answer(503), 9),
    ] {
        let mut world = World::new();
        world.server.faults().inject(of_reviews(), fault.clone());
        world.ask_for(json!({}));
        world.start();
        let end = Instant::now() + Duration::from_mins(2);
        let mut number = 0;
        while Instant::now() < end {
            // Its other children move meanwhile, which says nothing of the server.
            sleep(Duration::from_secs(2)).await;
            number += 1;
            if world.child(SERVICE).is_some() {
                world.edit(SERVICE, |object| object["metadata"]["annotations"]["n"] = json!(number.to_string()));
            }
        }
        let tries = world.server.faults().count("patch deployments/reviews");
        assert!((3..=most).contains(&tries), "{fault:?}: {tries} tries");
        let code = if matches!(fault, Fault::Answer(503)) { 503 } else { 429 };
        let line = format!(r#"api_requests_total{{verb="patch",resource="deployments",code="{code}"}}"#);
        assert_eq!(world.metric(&line), tries, "each is seen");
        assert!(another_is_made(&world, "another").await < Duration::from_secs(1));
        world.server.faults().heal();
        sleep(Duration::from_secs(75)).await;
        assert!(world.child(DEPLOYMENT).is_some(), "{fault:?}");
        assert_eq!(world.reason(), "RollingOut");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_is_tried_at_once_whatever_failed_before() {
    let mut world = World::new();
    world.server.faults().inject(of_reviews(), Fault::Answer(503));
    world.ask_for(json!({}));
    world.start();
    sleep(Duration::from_mins(5)).await;
    world.server.faults().heal();
    world.ask_for(json!({"replicas": 3}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.replicas(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_words_vary_is_no_loop() {
    let mut world = World::new();
    world.server.faults().inject(of_reviews(), Fault::Refused(403, "the webhook says no for the time number {}"));
    world.ask_for(json!({}));
    world.start();
    sleep(SOON).await;
    let tries = world.server.faults().count("patch deployments/reviews");
    assert!(tries <= 6, "{tries} tries in five seconds");
    sleep(Duration::from_mins(10)).await;
    let tries = world.server.faults().count("patch deployments/reviews");
    assert!((8..=13).contains(&tries), "{tries} tries");
    let writes = world.server.faults().count("patch sentimentservices/reviews/status");
    assert!(writes <= tries, "{writes} writes of the status for {tries} tries");
    assert_eq!((world.reason().as_str(), world.told("ApplyFailed")), ("ApplyFailed", 1));
    assert!(world.message().contains("the webhook says no"), "{}", world.message());
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_full_is_told_and_heals() {
    let mut world = World::new();
    world.server.faults().inject(of_reviews(), Fault::Refused(403, "deployments is forbidden: exceeded quota: small"));
    world.ask_for(json!({}));
    world.start();
    sleep(Duration::from_mins(2)).await;
    assert_eq!((world.reason().as_str(), world.told("QuotaExceeded")), ("QuotaExceeded", 1));
    assert!(world.message().contains("exceeded quota: small"), "{}", world.message());
    world.server.faults().heal();
    sleep(Duration::from_mins(3)).await;
    world.settles().await;
    assert_eq!(world.reason(), "Serving");
}

#[tokio::test(start_paused = true)]
async fn in_a_namespace_that_is_going_nothing_is_tried_twice() {
    let world = World::serving(json!({})).await;
    world.server.terminate("demo");
    let mark = world.mark();
    for kind in [DEPLOYMENT, SERVICE] {
        world.delete(kind);
        sleep(SOON).await;
    }
    let asked = world.asked_since(mark);
    assert!(asked.len() <= 3, "{asked:?}");
    assert_eq!(world.told("ApplyFailed"), 0);
    let is_stalled = |condition: &Value| condition["type"] == "Stalled" && condition["status"] == "True";
    assert!(!world.status()["conditions"].as_array().unwrap().iter().any(is_stalled));
}
