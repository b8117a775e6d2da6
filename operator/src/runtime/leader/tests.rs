//! What a candidate does about a lease, and about an API server that fails.

use super::*;
use crate::testing::{Fault, Server, requests};

fn lease(holder: Option<&str>, version: &str) -> Lease {
    Lease {
        metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            acquire_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        }),
    }
}

/// The decision of candidate `me` who has seen the lease as it is for some seconds.
fn after(seconds: u64, lease: Option<Lease>) -> Decision {
    let first = Instant::now();
    let mut seen = Seen::default();
    seen.update(lease.as_ref(), first);
    let clock = first + Duration::from_secs(seconds);
    seen.update(lease.as_ref(), clock);
    decide(lease, "lease", "me", &seen, clock, Timestamp::UNIX_EPOCH + Duration::from_secs(100))
}

fn holder(decision: &Decision) -> (Option<&str>, Option<i32>) {
    match decision {
        Decision::Create(lease) | Decision::Replace(lease) => {
            let spec = lease.spec.as_ref().unwrap();
            (spec.holder_identity.as_deref(), spec.lease_transitions)
        }
        Decision::Wait => (None, None),
    }
}

#[test]
fn a_missing_lease_is_made() {
    let decision = after(0, None);
    assert!(matches!(decision, Decision::Create(_)));
    assert_eq!(holder(&decision), (Some("me"), Some(1)));
}

#[test]
fn a_live_lease_of_another_is_waited_for() {
    assert_eq!(after(0, Some(lease(Some("other"), "1"))), Decision::Wait);
    assert_eq!(after(14, Some(lease(Some("other"), "1"))), Decision::Wait);
}

#[test]
fn a_lease_that_has_not_moved_for_its_duration_is_taken() {
    assert_eq!(holder(&after(15, Some(lease(Some("other"), "1")))), (Some("me"), Some(4)));
}

#[test]
fn a_renewal_is_seen_whatever_its_clock_says() {
    let first = Instant::now();
    let mut seen = Seen::default();
    seen.update(Some(&lease(Some("other"), "1")), first);
    let renewed = lease(Some("other"), "2");
    let clock = first + Duration::from_secs(20);
    seen.update(Some(&renewed), clock);
    assert_eq!(decide(Some(renewed), "lease", "me", &seen, clock, Timestamp::UNIX_EPOCH), Decision::Wait);
}

#[test]
fn a_released_lease_is_taken_at_once() {
    assert_eq!(holder(&after(0, Some(lease(None, "1")))), (Some("me"), Some(4)));
}

#[test]
fn a_renewal_keeps_when_it_was_acquired() {
    let Decision::Replace(lease) = after(0, Some(lease(Some("me"), "1"))) else { panic!("not renewed") };
    let spec = lease.spec.unwrap();
    assert_eq!(spec.acquire_time, Some(MicroTime(Timestamp::UNIX_EPOCH)));
    assert_eq!(spec.renew_time, Some(MicroTime(Timestamp::UNIX_EPOCH + Duration::from_secs(100))));
    assert_eq!(spec.lease_transitions, Some(3));
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("1"), "the write is checked against what was read");
}

#[test]
fn the_holder_has_ended_before_another_begins() {
    // The holder ends at its deadline even in the middle of a try; the sum holds if it did not.
    const { assert!(RENEW_DEADLINE.as_millis() + RETRY.as_millis() + TRY.as_millis() < DURATION.as_millis()) }
    // One try that hangs isn't the end: there is a second left for the next.
    const { assert!(RETRY.as_millis() * 5 / 4 + TRY.as_millis() + 1000 < RENEW_DEADLINE.as_millis()) }
    for _ in 0..100 {
        assert!(pause() <= RETRY && pause() >= RETRY.mul_f64(0.8));
    }
}

/// Two candidates, and what they ask.
struct Two {
    server: Server,
    first: Elector,
    second: Elector,
}

/// The first of two leads.
async fn first_leads() -> Two {
    let server = Server::new();
    let candidate = |identity| Elector::new(server.client(), "system", "lease", identity);
    let (mut first, second) = (candidate("first"), candidate("second"));
    first.acquire().await;
    Two { server, first, second }
}

impl Two {
    /// How long after now the first finds that it has lost the lease, and the second that it has it.
    async fn end_and_next_beginning(&mut self) -> (Duration, Duration) {
        let start = Instant::now();
        let Self { first, second, .. } = self;
        let ended = async {
            first.hold().await;
            start.elapsed()
        };
        let follows = async {
            second.acquire().await;
            start.elapsed()
        };
        tokio::join!(ended, follows)
    }

    async fn first_leads_on(&mut self) {
        let minute = Duration::from_mins(1);
        assert!(timeout(minute, self.first.hold()).await.is_err(), "the leader has ended");
        let lease = self.server.get("coordination.k8s.io", "leases", "system", "lease").unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], "first");
        assert_eq!(lease["spec"]["leaseTransitions"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_one_request() {
    let mut two = first_leads().await;
    let before = two.server.faults().seen().len();
    assert!(timeout(Duration::from_secs(20), two.first.hold()).await.is_err());
    let seen = two.server.faults().seen()[before..].to_vec();
    assert!(seen.iter().all(|request| request == "update leases/lease"), "{seen:?}");
    assert!((10..=13).contains(&seen.len()), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_once_or_twice_ends_no_leader() {
    for fault in [
        Fault::Answer(409),
        Fault::Answer(429),
        Fault::Answer(500),
        Fault::Answer(503),
        Fault::Answer(504),
        Fault::CutBeforeActing,
        Fault::CutAfterActing,
        Fault::AnsweredLate(Duration::from_millis(2500)),
        Fault::Unanswered,
    ] {
        let mut two = first_leads().await;
        two.server.faults().inject(requests("update", "leases").after(1).once(), fault.clone());
        two.server.faults().inject(requests("update", "leases").after(6).once(), fault);
        two.first_leads_on().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_reaches_nobody_has_ended_before_the_next_begins() {
    for fault in [Fault::Unanswered, Fault::Answer(503), Fault::AnsweredLate(Duration::from_secs(5))] {
        let mut two = first_leads().await;
        let second = Elector::new(two.server.client_apart(), "system", "lease", "second");
        two.second = second;
        two.server.faults().inject(requests("update", "leases"), fault.clone());
        two.server.faults().inject(requests("get", "leases"), fault);
        let (ended, follows) = two.end_and_next_beginning().await;
        assert!(ended <= RENEW_DEADLINE, "it ended after {ended:?}");
        assert!(follows >= ended + RETRY, "the next began after {follows:?}, {ended:?} after the end");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_runs_from_before_the_request() {
    let mut two = first_leads().await;
    // Acts at once and answers just in time, and then never again.
    let late = Duration::from_millis(1900);
    two.server.faults().inject(requests("update", "leases").once(), Fault::AnsweredLate(late));
    two.server.faults().inject(requests("update", "leases").after(1), Fault::Unanswered);
    two.server.faults().inject(requests("get", "leases"), Fault::Unanswered);
    let began = Instant::now();
    two.first.hold().await;
    assert!(began.elapsed() <= RETRY + RENEW_DEADLINE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_finds_another_in_its_place_ends_at_once() {
    let mut two = first_leads().await;
    let mut lease = two.server.get("coordination.k8s.io", "leases", "system", "lease").unwrap();
    lease["spec"]["holderIdentity"] = "second".into();
    two.server.put(lease);
    let began = Instant::now();
    two.first.hold().await;
    assert!(began.elapsed() <= RETRY, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_release_hands_over_at_once_and_waits_for_nobody() {
    let mut two = first_leads().await;
    two.first.release().await;
    let began = Instant::now();
    two.second.acquire().await;
    assert!(began.elapsed() <= RETRY);

    two.server.faults().inject(requests("get", "leases"), Fault::Unanswered);
    let began = Instant::now();
    two.second.release().await;
    assert!(began.elapsed() <= RELEASE);
}
