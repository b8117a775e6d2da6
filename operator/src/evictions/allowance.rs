//! How many evictions the operator asks for: who may write Events in a namespace can say anything in a kubelet's name.
//!
//! A disruption budget bounds what an eviction takes from a service, but a service may have none. So there is a bound for
//! each service, and one for all of them together.

use std::{collections::HashMap, fmt, hash::Hash, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::time::Instant;

/// How long an eviction is under way at most, as far as others have to wait for it.
const UNDER_WAY: Duration = Duration::from_mins(1);

/// The time between two evictions of a service that no budget protects, or that has one pod.
const UNPROTECTED: Duration = Duration::from_mins(1);

/// Evictions under way at the same time, over all services.
const AT_ONCE: usize = 5;

/// How many may begin at the same moment.
const BURST: u32 = 5;

/// The time in which one more may begin then.
const EACH: Duration = Duration::from_secs(1);

/// Why an eviction isn't asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refused {
    /// Another pod of the service is being evicted.
    UnderWay,
    /// A service without a budget, or with one pod, has lost one within the last minute.
    Unprotected,
    /// Too many services are losing pods.
    TooMany,
}

impl Refused {
    const ALL: [Self; 3] = [Self::UnderWay, Self::Unprotected, Self::TooMany];

    const fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Unprotected => "unprotected",
            Self::TooMany => "too_many",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnderWay => "another pod of the service is being evicted",
            Self::Unprotected => {
                "the service has one pod or no disruption budget, and lost a pod within the last minute"
            }
            Self::TooMany => "too many pods are being evicted",
        })
    }
}

/// Counts what isn't asked for. Clones share their values.
#[derive(Clone, Debug)]
pub struct Refusals(Family<[(&'static str, &'static str); 1], Counter>);

impl Refusals {
    /// Counters at zero, in a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        for refused in Refused::ALL {
            drop(family.get_or_create(&[("reason", refused.as_str())]));
        }
        registry.register(
            "evictions_refused",
            "Events of evictions that were not followed, since too many came: by reason",
            family.clone(),
        );
        Self(family)
    }

    pub(super) fn count(&self, refused: Refused) {
        self.0.get_or_create(&[("reason", refused.as_str())]).inc();
    }
}

/// What was asked for, and what may be. `S` is a service, `P` a pod.
#[derive(Debug)]
pub(super) struct Allowance<S, P> {
    /// The last eviction of each service.
    last: HashMap<S, (P, Instant)>,
    /// When those that have begun would have, had they kept to their rate.
    in_step: Option<Instant>,
}

impl<S, P> Default for Allowance<S, P> {
    fn default() -> Self {
        Self { last: HashMap::new(), in_step: None }
    }
}

impl<S: Eq + Hash, P> Allowance<S, P> {
    /// Whether a pod of a service may be evicted now; if so, it counts as begun. `protected` is a service with a budget
    /// and more than one pod, `gone` tells of a pod that was evicted before.
    pub(super) fn ask(
        &mut self,
        service: S,
        pod: P,
        protected: bool,
        gone: impl Fn(&P) -> bool,
        now: Instant,
    ) -> Result<(), Refused> {
        let age = |since: &Instant| now.saturating_duration_since(*since);
        self.last.retain(|_, (_, since)| age(since) < UNDER_WAY.max(UNPROTECTED));
        let goes_on = |(pod, since): &(P, Instant)| age(since) < UNDER_WAY && !gone(pod);
        if let Some(last) = self.last.get(&service) {
            if goes_on(last) {
                return Err(Refused::UnderWay);
            }
            if !protected && age(&last.1) < UNPROTECTED {
                return Err(Refused::Unprotected);
            }
        }
        let in_step = self.in_step.map_or(now, |in_step| in_step.max(now));
        if in_step > now + EACH * (BURST - 1) || self.last.values().filter(|last| goes_on(last)).count() >= AT_ONCE {
            return Err(Refused::TooMany);
        }
        self.in_step = Some(in_step + EACH);
        self.last.insert(service, (pod, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Asks at a second after the start, while all pods that were evicted stay, or are gone.
    struct Asked {
        start: Instant,
        allowance: Allowance<u32, u32>,
    }

    impl Asked {
        fn new() -> Self {
            Self { start: Instant::now(), allowance: Allowance::default() }
        }

        fn at(&mut self, second: u32, service: u32, pod: u32, protected: bool, gone: bool) -> Result<(), Refused> {
            self.allowance.ask(service, pod, protected, |_| gone, self.start + SECOND * second)
        }
    }

    #[test]
    fn a_service_loses_one_pod_at_a_time() {
        let mut asked = Asked::new();
        assert_eq!(asked.at(0, 1, 1, true, false), Ok(()));
        assert_eq!(asked.at(10, 1, 2, true, false), Err(Refused::UnderWay));
        assert_eq!(asked.at(11, 1, 2, true, true), Ok(()), "the first is gone");
        assert_eq!(asked.at(70, 1, 3, true, false), Err(Refused::UnderWay));
        assert_eq!(asked.at(71, 1, 3, true, false), Ok(()), "nobody waits for ever");
    }

    #[test]
    fn a_service_that_nothing_protects_loses_a_pod_a_minute() {
        let mut asked = Asked::new();
        assert_eq!(asked.at(0, 1, 1, false, true), Ok(()));
        assert_eq!(asked.at(59, 1, 2, false, true), Err(Refused::Unprotected));
        assert_eq!(asked.at(60, 1, 2, false, true), Ok(()));
    }

    #[test]
    fn five_at_once_and_no_more_until_one_is_gone() {
        let mut asked = Asked::new();
        for service in 0..5 {
            assert_eq!(asked.at(0, service, 0, true, false), Ok(()));
        }
        assert_eq!(asked.at(20, 5, 0, true, false), Err(Refused::TooMany));
        assert_eq!(asked.at(20, 5, 0, true, true), Ok(()));
    }

    #[test]
    fn a_thousand_forged_events_take_one_pod_a_second_after_the_first_five() {
        let mut asked = Asked::new();
        let evicted = |asked: &mut Asked, second: u32| {
            (0..1000).filter(|service| asked.at(second, second * 1000 + service, 0, true, true).is_ok()).count()
        };
        let counts: Vec<usize> = (0..10).map(|second| evicted(&mut asked, second)).collect();
        assert_eq!(counts, [5, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(evicted(&mut asked, 60), 5, "after a while of quiet, five again");
    }

    #[test]
    fn what_is_long_past_takes_no_memory() {
        let mut asked = Asked::new();
        for minute in 0..100 {
            assert_eq!(asked.at(minute * 60, minute, 0, true, true), Ok(()));
        }
        assert_eq!(asked.allowance.last.len(), 1);
    }

    #[test]
    fn refusals_are_counted_from_zero() {
        let mut registry = Registry::default();
        Refusals::register(&mut registry).count(Refused::TooMany);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"evictions_refused_total{reason="too_many"} 1"#), "{text}");
        assert!(text.contains(r#"evictions_refused_total{reason="under_way"} 0"#), "{text}");
    }
}
