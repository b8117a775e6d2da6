//! Who may ask, and how much: keys and their limits, for every protocol.

mod limits;
mod slowdown;

use std::sync::Arc;

use crate::{
    config::Config,
    metrics::{KeyFailure, LimitReason, Metrics},
    secrets::{ApiKeys, Live},
};
use limits::Limits;
pub use limits::{Exceeded, Permit};
use slowdown::Slowdown;

/// Lets those pass who have a key, as far as its limits go.
pub struct Guard {
    keys: Arc<Live<ApiKeys>>,
    limits: Option<Limits>,
    slowdown: Slowdown,
    metrics: Arc<Metrics>,
}

/// Why a request isn't let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It carries no key.
    Missing,
    /// It carries one that isn't in force.
    Wrong,
    /// Its key asks for more than its limits allow.
    Limited(Exceeded),
}

impl Guard {
    /// The guard, unless the settings serve everybody.
    #[must_use]
    pub fn of(config: &Config, metrics: &Arc<Metrics>) -> Option<Self> {
        let keys = config.api_keys.clone()?;
        let limits = config.api_key_limits.clone().map(Limits::new);
        let slowdown = Slowdown::new(config.connections.most);
        Some(Self { keys, limits, slowdown, metrics: Arc::clone(metrics) })
    }

    /// Lets a request pass that carries one of the keys in force. It holds the permit until it is answered. A wrong key
    /// is told so after a while, when many of them came lately. A right one never waits.
    pub async fn admit(&self, sent: Option<&[u8]>) -> Result<Permit, Denied> {
        let access = &self.metrics.access;
        let Some(sent) = sent else {
            access.refuse(KeyFailure::Missing);
            return Err(Denied::Missing);
        };
        let keys = self.keys.current();
        let Some(name) = keys.name_of(sent) else {
            access.refuse(KeyFailure::Wrong);
            self.slowdown.wait().await;
            return Err(Denied::Wrong);
        };
        let permit = self.limits.as_ref().map_or_else(|| Ok(Permit::default()), |limits| limits.take(name, &keys));
        match permit {
            Ok(permit) => {
                access.let_pass(name);
                Ok(permit)
            }
            Err(exceeded) => {
                access.limit(name, exceeded.reason);
                Err(Denied::Limited(exceeded))
            }
        }
    }

    /// How many keys are in force. Each has its series from here on.
    #[must_use]
    pub fn count_keys(&self) -> usize {
        let keys = self.keys.current();
        self.metrics.access.set_keys(keys.names().map(|name| (name, self.reasons(name))));
        keys.names().len()
    }

    /// Names that have limits, and no key.
    #[must_use]
    pub fn limits_without_key(&self) -> Vec<String> {
        let keys = self.keys.current();
        let known = |name: &str| keys.names().any(|known| **known == *name);
        let names = self.limits.iter().flat_map(Limits::names);
        names.filter(|name| !known(name)).map(ToOwned::to_owned).collect()
    }

    fn reasons(&self, name: &str) -> impl Iterator<Item = LimitReason> {
        let limit = self.limits.as_ref().and_then(|limits| limits.of(name));
        let rate = limit.and_then(|limit| limit.rate.map(|_| LimitReason::Rate));
        let concurrency = limit.and_then(|limit| limit.concurrency.map(|_| LimitReason::Concurrency));
        rate.into_iter().chain(concurrency)
    }
}

/// The key that a request carries, of what it sends as `X-API-Key` and as `Authorization`. The first wins; of the
/// second only `Bearer` carries one.
#[must_use]
pub fn sent_key<'a>(api_key: Option<&'a [u8]>, authorization: Option<&'a [u8]>) -> Option<&'a [u8]> {
    api_key.or_else(|| {
        let (scheme, key) = authorization?.split_at_checked(b"Bearer".len())?;
        let spaces = key.iter().take_while(|byte| **byte == b' ').count();
        (scheme.eq_ignore_ascii_case(b"Bearer") && spaces > 0).then(|| &key[spaces..])
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::time::Instant;

    use super::*;
    use crate::config::Environment;

    fn guard(settings: &[(&str, &str)]) -> Option<Guard> {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Guard::of(&Config::read(&settings.collect::<Environment>()).unwrap(), &Arc::new(Metrics::new()))
    }

    // The clock is stopped, and goes on only when all wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_right_key_never_waits_while_wrong_ones_do() {
        let guard = guard(&[("MLOPS_API_KEY", "s3cret")]).unwrap();
        let (right, wrong) = (Some(&b"s3cret"[..]), Some(&b"guess"[..]));
        for _ in 0..10 {
            assert_eq!(guard.admit(wrong).await.unwrap_err(), Denied::Wrong);
        }
        let begun = Instant::now();
        let mut guesses = Box::pin(join_all((0..1000).map(|_| guard.admit(wrong))));
        assert!((&mut guesses).now_or_never().is_none());
        for _ in 0..1000 {
            assert!(guard.admit(right).now_or_never().unwrap().is_ok());
        }
        // Nor does one who sends none: that is no guess.
        assert_eq!(guard.admit(None).now_or_never().unwrap().unwrap_err(), Denied::Missing);
        assert!(guesses.await.iter().all(Result::is_err));
        assert!(begun.elapsed().as_millis() >= 100, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_key_beyond_its_limit_is_told_which_and_counted_by_its_name() {
        let limits = r#"[{"name":"default","concurrency":1},{"name":"gone","concurrency":1}]"#;
        let guard = guard(&[("MLOPS_API_KEY", "s3cret"), ("MLOPS_API_KEY_LIMITS", limits)]).unwrap();
        assert_eq!((guard.count_keys(), guard.limits_without_key()), (1, vec!["gone".to_owned()]));
        let held = guard.admit(Some(b"s3cret")).await.unwrap();
        let exceeded = Exceeded { reason: LimitReason::Concurrency, retry_after: 1 };
        assert_eq!(guard.admit(Some(b"s3cret")).await.unwrap_err(), Denied::Limited(exceeded));
        drop(held);
        assert!(guard.admit(Some(b"s3cret")).await.is_ok());
        let series = guard.metrics.render().unwrap();
        for line in [
            r#"sentiment_api_key_requests_total{key="default"} 2"#,
            r#"sentiment_api_key_limited_total{key="default",reason="concurrency"} 1"#,
        ] {
            assert!(series.lines().any(|found| found == line), "{line} is not in\n{series}");
        }
        assert!(!series.contains(r#"reason="rate""#), "it has no such limit");
    }

    #[test]
    fn without_a_key_in_force_there_is_no_guard() {
        assert!(guard(&[]).is_none());
    }

    #[test]
    fn a_key_comes_in_one_of_two_ways() {
        let key = |api_key: Option<&'static str>, authorization: Option<&'static str>| {
            sent_key(api_key.map(str::as_bytes), authorization.map(str::as_bytes))
                .map(|key| str::from_utf8(key).unwrap())
        };
        assert_eq!(key(Some("a"), None), Some("a"));
        assert_eq!(key(None, Some("Bearer a b")), Some("a b"));
        assert_eq!(key(None, Some("bEARER  a")), Some("a"));
        assert_eq!(key(Some("a"), Some("Bearer b")), Some("a"));
        for other in ["Bearer", "Bearera", "Basic YTpi", "a", ""] {
            assert_eq!(key(None, Some(other)), None, "{other}");
        }
        assert_eq!(key(None, None), None);
    }
}
