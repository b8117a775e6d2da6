//! Leader election by Lease: of several replicas one works, the others stand by.
//!
//! The rules are those of `k8s.io/client-go/tools/leaderelection`: a lease is dead when its record
//! hasn't changed for its duration by *our* clock, since the clocks of two machines may differ. Every
//! write carries the `resourceVersion` that it is based on, so of two that try at once one fails.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use tokio::time::{sleep, timeout};

/// How long a lease outlives its last renewal, as others see it. With [`RETRY`] it makes thirteen
/// seconds at most until another leads.
const DURATION: Duration = Duration::from_secs(11);
/// How long the holder goes on without a renewal. Shorter than [`DURATION`], so that it has ended
/// before anybody else begins.
const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// Time between two tries.
const RETRY: Duration = Duration::from_secs(2);
/// A request that hangs must not use up the deadline.
const REQUEST: Duration = Duration::from_secs(3);

/// A candidate for the leadership.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Seen,
}

/// The lease as last seen, and when it was first seen like that.
#[derive(Clone, Debug, Default)]
struct Seen {
    resource_version: Option<String>,
    since: Option<Instant>,
}

/// What a candidate does about a lease.
#[derive(Clone, Debug, PartialEq)]
enum Decision {
    /// There is none: make it.
    Create(Lease),
    /// It is ours, or nobody's any more: write it.
    Replace(Lease),
    /// Another holds it.
    Wait,
}

impl Elector {
    /// A candidate. `identity` must differ from that of every other candidate: a pod's name does.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            seen: Seen::default(),
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) {
        loop {
            match timeout(REQUEST, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease can't be read or written, trying again"),
                Err(_) => tracing::warn!("the lease can't be read or written in time, trying again"),
            }
            sleep(RETRY).await;
        }
    }

    /// Renews the lease until that fails for too long or another holds it: then the leadership is lost.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(RETRY).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match timeout(left.min(REQUEST), self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Gives the lease up, so that the next leader needn't wait for it to die.
    pub async fn release(&mut self) {
        let released = timeout(REQUEST, async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        });
        if !matches!(released.await, Ok(Ok(()))) {
            tracing::warn!("the lease could not be released; it dies by itself");
        }
    }

    /// One try to take or renew the lease: whether it is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let lease = self.api.get_opt(&self.name).await?;
        self.seen.update(lease.as_ref(), Instant::now());
        let parameters = PostParams::default();
        let written = match decide(lease, &self.name, &self.identity, &self.seen, Instant::now(), Timestamp::now()) {
            Decision::Create(lease) => self.api.create(&parameters, &lease).await,
            Decision::Replace(lease) => self.api.replace(&self.name, &parameters, &lease).await,
            Decision::Wait => return Ok(false),
        };
        match written {
            Ok(lease) => {
                self.seen.update(Some(&lease), Instant::now());
                Ok(true)
            }
            // Somebody was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Seen {
    fn update(&mut self, lease: Option<&Lease>, now: Instant) {
        let resource_version = lease.and_then(ResourceExt::resource_version);
        if self.since.is_none() || self.resource_version != resource_version {
            *self = Self { resource_version, since: Some(now) };
        }
    }
}

fn decide(lease: Option<Lease>, name: &str, identity: &str, seen: &Seen, clock: Instant, now: Timestamp) -> Decision {
    let Some(mut lease) = lease else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        return Decision::Create(Lease { metadata, spec: Some(taken(None, identity, now)) });
    };
    let old = lease.spec.take().unwrap_or_default();
    let holder = old.holder_identity.as_deref().unwrap_or_default();
    let duration = old.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let duration = duration.map_or(DURATION, Duration::from_secs);
    let dead = seen.since.is_some_and(|since| clock.duration_since(since) >= duration);
    if holder == identity || holder.is_empty() || dead {
        lease.spec = Some(taken(Some(old), identity, now));
        Decision::Replace(lease)
    } else {
        Decision::Wait
    }
}

/// The record of a lease that `identity` holds from now on, or still.
fn taken(old: Option<LeaseSpec>, identity: &str, now: Timestamp) -> LeaseSpec {
    let old = old.unwrap_or_default();
    let kept = old.holder_identity.as_deref() == Some(identity);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if kept { old.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!kept)),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        const { assert!(RENEW_DEADLINE.as_secs() + RETRY.as_secs() < DURATION.as_secs()) }
    }
}
