//! How much each key may ask: requests over time, and requests at once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::{KeyLimit, KeyLimits, Rate},
    metrics::LimitReason,
    secrets::ApiKeys,
};

/// The limits of all keys, and what each has used up. They outlive a key that is renewed under its name.
pub(super) struct Limits<C: Clock = DefaultClock> {
    by_name: KeyLimits,
    clock: C,
    used: RwLock<HashMap<Arc<str>, Arc<Used<C>>>>,
}

/// What one key has used up.
struct Used<C: Clock> {
    rate: Option<RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>>,
    places: Option<Arc<Semaphore>>,
}

/// A request that was let pass. Its place among those of its key is free again when this is dropped.
#[derive(Debug, Default)]
#[must_use = "the request holds it until it is answered"]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// Whether it matters for how long it is held.
    #[must_use]
    pub fn holds_a_place(&self) -> bool {
        self.0.is_some()
    }
}

/// What a key asked too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub reason: LimitReason,
    /// Seconds after which another try may succeed.
    pub retry_after: u64,
}

impl Limits {
    /// Nothing is used up yet.
    pub(super) fn new(limits: KeyLimits) -> Self {
        Self::with_clock(limits, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(by_name: KeyLimits, clock: C) -> Self {
        Self { by_name, clock, used: RwLock::default() }
    }

    /// See [`KeyLimits::names`].
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.names()
    }

    /// See [`KeyLimits::of`].
    pub(super) fn of(&self, name: &str) -> Option<KeyLimit> {
        self.by_name.of(name)
    }

    /// Lets a request of the key of this name pass. `keys` are those in force.
    pub(super) fn take(&self, name: &Arc<str>, keys: &ApiKeys) -> Result<Permit, Exceeded> {
        let Some(limit) = self.by_name.of(name) else { return Ok(Permit::default()) };
        let used = self.used_by(name, limit, keys);
        // First, as one that is refused gives its place back, but no request over time.
        let place = match &used.places {
            Some(places) => Some(
                Arc::clone(places)
                    .try_acquire_owned()
                    .map_err(|_| Exceeded { reason: LimitReason::Concurrency, retry_after: 1 })?,
            ),
            None => None,
        };
        if let Some(rate) = &used.rate {
            rate.check().map_err(|not_until| Exceeded {
                reason: LimitReason::Rate,
                retry_after: whole_seconds(not_until.wait_time_from(self.clock.now())),
            })?;
        }
        Ok(Permit(place))
    }

    fn used_by(&self, name: &Arc<str>, limit: KeyLimit, keys: &ApiKeys) -> Arc<Used<C>> {
        if let Some(used) = self.used.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(used);
        }
        let mut all = self.used.write().unwrap_or_else(PoisonError::into_inner);
        // Files come and go; those that came before must not fill the memory.
        all.retain(|known, _| keys.names().any(|name| name == known));
        let used = all.entry(Arc::clone(name)).or_insert_with(|| Arc::new(Used::nothing(limit, &self.clock)));
        Arc::clone(used)
    }
}

impl<C: Clock + Clone> Used<C> {
    fn nothing(limit: KeyLimit, clock: &C) -> Self {
        let quota = limit.rate.and_then(|Rate { per_second, burst }| {
            Quota::with_period(Duration::from_secs_f64(per_second.recip())).map(|quota| quota.allow_burst(burst))
        });
        Self {
            rate: quota.map(|quota| RateLimiter::direct_with_clock(quota, clock.clone())),
            places: limit.concurrency.map(|most| Arc::new(Semaphore::new(most as usize))),
        }
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::config::{Config, Environment};

    /// As a server has them with these settings.
    fn limits(text: &str) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let settings = [("MLOPS_API_KEY", "k"), ("MLOPS_API_KEY_LIMITS", text)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let limits = Config::read(&Environment::from(settings)).unwrap().api_key_limits.unwrap();
        let clock = FakeRelativeClock::default();
        (Limits::with_clock(limits, clock.clone()), clock)
    }

    fn keys(names: &str) -> ApiKeys {
        let lines: Vec<_> = names.split(' ').map(|name| format!("{name}: key-of-{name}")).collect();
        ApiKeys::list(&lines.join("\n")).unwrap()
    }

    /// Asks so many times; how many were let pass, and what the last one was told.
    fn ask(limits: &Limits<FakeRelativeClock>, name: &str, keys: &ApiKeys, times: usize) -> (usize, Option<Exceeded>) {
        let answers: Vec<_> = (0..times).map(|_| limits.take(&name.into(), keys)).collect();
        (answers.iter().filter(|answer| answer.is_ok()).count(), answers.into_iter().last().unwrap().err())
    }

    fn too_fast(retry_after: u64) -> Exceeded {
        Exceeded { reason: LimitReason::Rate, retry_after }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_lets_a_burst_pass_and_then_so_many_a_second() {
        let (limits, clock) =
            limits(r#"[{"name":"shop","requestsPerSecond":10,"burst":20},{"name":"slow","requestsPerSecond":0.2}]"#);
        let keys = keys("shop slow free");
        assert_eq!(ask(&limits, "shop", &keys, 100), (20, Some(too_fast(1))));
        clock.advance(SECOND);
        assert_eq!(ask(&limits, "shop", &keys, 100), (10, Some(too_fast(1))));
        clock.advance(60 * SECOND);
        assert_eq!(ask(&limits, "shop", &keys, 100), (20, Some(too_fast(1))));
        assert_eq!(ask(&limits, "slow", &keys, 2), (1, Some(too_fast(5))));
        clock.advance(SECOND * 7 / 2);
        assert_eq!(ask(&limits, "slow", &keys, 1), (0, Some(too_fast(2))));
        assert_eq!(ask(&limits, "free", &keys, 100), (100, None));
    }

    #[test]
    fn a_place_is_free_again_when_its_request_ends_and_a_refused_one_uses_nothing_up() {
        let (limits, clock) = limits(r#"[{"name":"shop","requestsPerSecond":4,"concurrency":2}]"#);
        let keys = keys("shop");
        let held: Vec<_> = (0..2).map(|_| limits.take(&"shop".into(), &keys).unwrap()).collect();
        assert!(held[0].holds_a_place());
        let busy = Some(Exceeded { reason: LimitReason::Concurrency, retry_after: 1 });
        assert_eq!(ask(&limits, "shop", &keys, 50), (0, busy));
        drop(held);
        // Two are left of the second's four, one after the other.
        let one_by_one = (0..4).filter(|_| limits.take(&"shop".into(), &keys).is_ok()).count();
        assert_eq!(one_by_one, 2);
        clock.advance(SECOND);
        assert_eq!(ask(&limits, "shop", &keys, 4), (2, busy));
    }

    #[test]
    fn each_other_key_has_a_bucket_of_its_own() {
        let (limits, _) = limits(r#"[{"name":"*","requestsPerSecond":3},{"name":"shop","requestsPerSecond":1}]"#);
        let keys = keys("a b shop");
        let passed = ["a", "b", "shop"].map(|name| ask(&limits, name, &keys, 10).0);
        assert_eq!(passed, [3, 3, 1]);
    }

    #[test]
    fn what_is_used_up_outlives_a_renewed_file_and_is_forgotten_with_the_name() {
        let (limits, _) = limits(r#"[{"name":"*","requestsPerSecond":3}]"#);
        assert_eq!(ask(&limits, "a", &keys("a b"), 10).0, 3);
        assert_eq!(ask(&limits, "a", &keys("a c"), 10).0, 0);
        assert_eq!(ask(&limits, "c", &keys("c"), 10).0, 3);
        assert_eq!(ask(&limits, "a", &keys("a c"), 10).0, 3);
        assert_eq!(limits.used.read().unwrap().len(), 2);
    }

    #[test]
    fn seconds_are_whole_and_at_least_one() {
        let seconds =
            [0, 1, 999, 1000, 1001, 5000].map(|milliseconds| whole_seconds(Duration::from_millis(milliseconds)));
        assert_eq!(seconds, [1, 1, 1, 1, 2, 5]);
    }
}
