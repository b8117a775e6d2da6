//! Leader election by Lease: of several replicas one works, the others stand by.
//!
//! The rules are those of `k8s.io/client-go/tools/leaderelection`: a lease is dead when its record
//! hasn't changed for its duration by *our* clock, since the clocks of two machines may differ. Every
//! write carries the `resourceVersion` that it is based on, so of two that try at once one fails.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a lease outlives its last renewal, as others see it. With [`RETRY`] it makes thirteen
/// seconds at most until another leads.
const DURATION: Duration = Duration::from_secs(11);
/// How long the holder goes on without a renewal, from before the last one that succeeded was sent. [`hold`] ends then,
/// whatever hangs.
///
/// [`hold`]: Elector::hold
const RENEW_DEADLINE: Duration = Duration::from_secs(6);
/// Most time between two tries. A fifth of it is left to chance, so that candidates don't try in step.
const RETRY: Duration = Duration::from_secs(2);
/// One try, with all that it asks for. One that hangs must not use up the deadline.
const TRY: Duration = Duration::from_secs(2);
/// How long a process that ends tries to give the lease up.
const RELEASE: Duration = Duration::from_secs(1);

/// A candidate for the leadership.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Seen,
    /// The lease as we last wrote it, while nothing speaks against that.
    held: Option<Lease>,
    /// When the request of the last success was sent: the lease is younger than that for everybody.
    renewed: Instant,
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
            held: None,
            renewed: Instant::now(),
        }
    }

    /// The lease, as `NAMESPACE/NAME`.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("{}/{}", self.api.namespace().unwrap_or_default(), self.name)
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) {
        while self.attempt().await != Some(true) {
            sleep(pause()).await;
        }
    }

    /// Renews the lease until that fails for too long or another holds it: then the leadership is lost.
    pub async fn hold(&mut self) {
        loop {
            let deadline = self.renewed + RENEW_DEADLINE;
            let renewed = async {
                sleep(pause()).await;
                loop {
                    if let Some(ours) = self.attempt().await {
                        return ours;
                    }
                    // Sooner than else, as the deadline comes nearer.
                    sleep(pause() / 4).await;
                }
            };
            match timeout_at(deadline, renewed).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("another replica holds the lease");
                    return;
                }
                Err(_) => {
                    tracing::warn!(seconds = RENEW_DEADLINE.as_secs(), "the lease was not renewed for too long");
                    return;
                }
            }
        }
    }

    /// Gives the lease up, so that the next leader needn't wait for it to die.
    pub async fn release(&mut self) {
        self.held = None;
        let released = timeout(RELEASE, async {
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

    /// One try to take or renew the lease: whether it is ours now. `None` where that can't be told.
    async fn attempt(&mut self) -> Option<bool> {
        let began = Instant::now();
        match timeout(TRY, self.write()).await {
            Ok(Ok(ours)) => {
                if ours {
                    self.renewed = began;
                }
                Some(ours)
            }
            // It may have been written all the same: what is so, the next try reads.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease can't be read or written, trying again");
                None
            }
            Err(_) => {
                tracing::warn!("the lease can't be read or written in time, trying again");
                None
            }
        }
    }

    async fn write(&mut self) -> Result<bool, kube::Error> {
        // What we hold is most likely as we left it, and then one request will do.
        if let Some(mut lease) = self.held.take() {
            lease.spec = Some(taken(lease.spec, &self.identity, Timestamp::now()));
            match self.api.replace(&self.name, &PostParams::default(), &lease).await {
                Ok(lease) => return Ok(self.keep(lease)),
                // Somebody has written it, and be it ourselves, in a request whose answer was lost.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error),
            }
        }
        let lease = self.api.get_opt(&self.name).await?;
        self.seen.update(lease.as_ref(), Instant::now());
        let parameters = PostParams::default();
        let written = match decide(lease, &self.name, &self.identity, &self.seen, Instant::now(), Timestamp::now()) {
            Decision::Create(lease) => self.api.create(&parameters, &lease).await?,
            Decision::Replace(lease) => self.api.replace(&self.name, &parameters, &lease).await?,
            Decision::Wait => return Ok(false),
        };
        Ok(self.keep(written))
    }

    fn keep(&mut self, lease: Lease) -> bool {
        self.seen.update(Some(&lease), Instant::now());
        self.held = Some(lease);
        true
    }
}

/// The time until the next try.
fn pause() -> Duration {
    RETRY.mul_f64(0.8 + 0.2 * fastrand::f64())
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
mod tests;
