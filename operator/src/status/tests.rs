use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    api::{PartReason, Reason},
    fixtures::valid,
    rollouts::Held,
    verdict::Part,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn holds(status: &SentimentServiceStatus) -> Vec<&str> {
    let holding = status.conditions.iter().filter(|condition| condition.status == "True");
    holding.map(|condition| condition.type_.as_str()).collect()
}

fn status_of(reason: Reason, available: i32) -> SentimentServiceStatus {
    let counts = Counts { available, ..Counts::default() };
    failed(Some(1), &Verdict::new(reason, "why"), counts, &SentimentServiceStatus::default(), at(0))
}

#[test]
fn conditions_tell_what_kstatus_needs() {
    assert_eq!(holds(&status_of(Reason::Serving, 2)), ["Ready", "Available"]);
    assert_eq!(holds(&status_of(Reason::RollingOut, 2)), ["Available", "Reconciling"]);
    assert_eq!(holds(&status_of(Reason::RollingOut, 0)), ["Reconciling"]);
    assert_eq!(holds(&status_of(Reason::Suspended, 0)), Vec::<&str>::new());
    assert_eq!(holds(&status_of(Reason::Unschedulable, 0)), ["Reconciling"]);
    assert_eq!(holds(&status_of(Reason::ImagePullFailed, 2)), ["Available", "Stalled"]);
}

#[test]
fn every_failure_is_either_waited_for_or_stalled() {
    for reason in Reason::ALL {
        let status = status_of(reason, 0);
        let holding = holds(&status);
        let progress = holding.iter().filter(|type_| ["Reconciling", "Stalled"].contains(type_)).count();
        assert_eq!(progress, usize::from(!reason.is_settled()), "{reason}");
        assert_eq!(status.reason(), Some(reason));
    }
}

#[test]
fn a_transition_time_moves_with_the_status_only() {
    let later = |reason, message: &str, previous: &SentimentServiceStatus, second| {
        failed(Some(2), &Verdict::new(reason, message), Counts::default(), previous, at(second))
    };
    let first = status_of(Reason::RollingOut, 0);
    let second = later(Reason::Unschedulable, "no node", &first, 60);
    let time = |status: &SentimentServiceStatus, index: usize| status.conditions[index].last_transition_time.0;
    assert_eq!(time(&second, 0), at(0), "Ready stays False");
    let third = later(Reason::CrashLooping, "exit 1", &second, 90);
    assert_eq!(time(&third, 3), at(90), "Stalled turns True");
}

/// A status after its template was held back, seconds later than the status before.
fn held(reason: Reason, previous: &SentimentServiceStatus) -> SentimentServiceStatus {
    let counts = Counts { available: previous.available_replicas, ..Counts::default() };
    let mut status = failed(Some(1), &Verdict::new(reason, "why"), counts, previous, at(60));
    tell_held(&mut status, Held::behind(2), Some("v1"), previous, at(60));
    status
}

#[test]
fn a_template_that_waits_leaves_the_service_ready() {
    let first = held(Reason::Serving, &status_of(Reason::Serving, 2));
    assert_eq!(holds(&first), ["Ready", "Available", "Reconciling"]);
    assert_eq!(first.image.as_deref(), Some("v1"), "the image that runs");
    let reconciling = &first.conditions[2];
    assert_eq!((reconciling.reason.as_str(), reconciling.last_transition_time.0), ("RollingOut", at(60)));
    assert!(reconciling.message.starts_with("waiting: 2 other services are rolling out"), "{}", reconciling.message);
    let mut later = first.clone();
    later.conditions[2].last_transition_time.0 = at(30);
    assert_eq!(held(Reason::Serving, &later).conditions[2].last_transition_time.0, at(30));
}

#[test]
fn a_template_that_waits_hides_no_failure() {
    let crashing = held(Reason::CrashLooping, &status_of(Reason::CrashLooping, 1));
    assert_eq!(holds(&crashing), ["Available", "Stalled"]);
    assert!(crashing.conditions[0].message.starts_with("why; waiting: "), "{}", crashing.conditions[0].message);
    let unschedulable = held(Reason::Unschedulable, &status_of(Reason::Unschedulable, 1));
    assert_eq!(unschedulable.conditions[2].reason, "Unschedulable");
    assert!(unschedulable.conditions[2].message.starts_with("why; waiting: "));
}

#[test]
fn a_failure_keeps_what_is_known_of_the_old_replicas() {
    let previous = SentimentServiceStatus {
        available_replicas: 2,
        ready_replicas: 2,
        url: Some("http://reviews.demo.svc:8000".to_owned()),
        ..SentimentServiceStatus::default()
    };
    let left = Counts { total: 1, ready: 1, available: 1, updated: 0 };
    let verdict = Verdict::new(Reason::InvalidSpec, "spec.replicas is -1");
    let status = failed(Some(9), &verdict, left, &previous, at(0));
    assert_eq!((status.available_replicas, status.ready_replicas, status.url), (1, 1, previous.url));
    assert_eq!(status.observed_generation, Some(9));
}

fn observation(reason: Reason, available: i32) -> Observation {
    Observation {
        verdict: Verdict::new(reason, format!("{available} serve")),
        counts: Counts { total: 2, updated: 2, ready: available, available },
        scaling: None,
        published: None,
        look_again: None,
    }
}

fn observed_at(second: i64, observation: &Observation, previous: &SentimentServiceStatus) -> SentimentServiceStatus {
    observed(&valid(json!({})), observation, None, previous, at(second))
}

#[test]
fn parts_have_their_own_conditions_as_long_as_there_are_parts() {
    let mut with = observation(Reason::Serving, 2);
    with.scaling = Some(Part::fails(PartReason::Inactive, "no metrics"));
    with.published = Some(Part::waits("waiting for a Gateway"));
    let status = observed_at(0, &with, &SentimentServiceStatus::default());
    let told = |type_| {
        let condition = status.condition(type_).unwrap();
        (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str())
    };
    assert_eq!(told(ConditionType::Scaling), ("False", "Inactive", "no metrics"));
    assert_eq!(told(ConditionType::Published), ("Unknown", "Waiting", "waiting for a Gateway"));
    assert_eq!(holds(&status), ["Ready", "Available"], "the pods serve all the same");

    let failed = failed(Some(4), &Verdict::new(Reason::InvalidSpec, "no"), Counts::default(), &status, at(9));
    assert_eq!(failed.condition(ConditionType::Scaling), status.condition(ConditionType::Scaling));
    let without = observed_at(9, &observation(Reason::Serving, 2), &status);
    assert_eq!(without.condition(ConditionType::Scaling), None);
}

#[test]
fn a_new_service_is_worth_two_writes() {
    const SOON: Duration = Duration::from_millis(300);
    let nothing = SentimentServiceStatus::default();
    let begun = observed_at(0, &observation(Reason::RollingOut, 0), &nothing);
    assert_eq!(worth_writing(&nothing, &begun, Duration::MAX), Write::Now);
    let loaded = Some(Loaded { replica_set: "reviews-1".to_owned(), digest: Some("sha256:1".to_owned()) });
    let one = observed(&valid(json!({})), &observation(Reason::RollingOut, 1), loaded, &begun, at(1));
    assert_eq!(worth_writing(&begun, &one, SOON), Write::Later(Duration::from_millis(700)), "the first replica serves");
    assert_eq!(worth_writing(&begun, &one, Duration::from_secs(1)), Write::Now, "a rollout that takes its time");
    let serving = observed_at(1, &observation(Reason::Serving, 2), &begun);
    assert_eq!(worth_writing(&begun, &serving, SOON), Write::Now);
    assert_eq!(worth_writing(&serving, &serving, SOON), Write::No);
}

#[test]
fn a_place_in_the_line_may_wait() {
    let previous = status_of(Reason::Serving, 2);
    let behind = |others| {
        let mut status = previous.clone();
        tell_held(&mut status, Held::behind(others), None, &previous, at(60));
        status
    };
    assert!(matches!(worth_writing(&behind(5), &behind(4), Duration::ZERO), Write::Later(_)));
    assert_eq!(worth_writing(&previous, &behind(5), Duration::ZERO), Write::Now, "the wait begins");
}

#[test]
fn what_matters_is_written_at_once() {
    let now = |previous: &SentimentServiceStatus, next: &SentimentServiceStatus| {
        worth_writing(previous, next, Duration::ZERO) == Write::Now
    };
    let of = |reason, available| observed_at(0, &observation(reason, available), &SentimentServiceStatus::default());
    let rolling = of(Reason::RollingOut, 1);
    assert!(now(&rolling, &of(Reason::RollingOut, 0)), "the last replica is lost");
    assert!(now(&rolling, &of(Reason::CrashLooping, 1)));
    assert!(now(&of(Reason::CrashLooping, 1), &of(Reason::CrashLooping, 0)), "words of a failure");
    assert!(!now(&of(Reason::Serving, 2), &{
        let mut more = of(Reason::Serving, 2);
        more.replicas = 3;
        more
    }));
    let next_spec = SentimentServiceStatus { observed_generation: Some(9), ..rolling.clone() };
    assert!(now(&rolling, &next_spec));
    let moved = SentimentServiceStatus { url: None, ..rolling.clone() };
    assert!(now(&rolling, &moved));
    let mut scaling = observation(Reason::RollingOut, 1);
    scaling.scaling = Some(Part::fails(PartReason::Inactive, "no metrics"));
    assert!(now(&rolling, &observed_at(0, &scaling, &rolling)), "a part that fails");
}
