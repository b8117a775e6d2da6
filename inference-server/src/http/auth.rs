//! The API keys.

mod slowdown;

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{ApiError, App};
use crate::{
    config::Config,
    metrics::KeyFailure,
    secrets::{ApiKeys, Live},
};
use slowdown::Slowdown;

/// The header's name as people know it.
pub(super) const API_KEY_NAME: &str = "X-API-Key";
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets those pass who have a key.
pub(super) struct Guard {
    keys: Arc<Live<ApiKeys>>,
    slowdown: Slowdown,
}

impl Guard {
    /// The guard, unless the settings serve everybody.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let keys = config.api_keys.clone()?;
        Some(Self { keys, slowdown: Slowdown::new(config.connections.most) })
    }
}

/// Lets a request pass when no key is set, or when it carries one of those in force. It is told otherwise after
/// a while, when many wrong keys came lately. A right one never waits.
pub(super) async fn require_key(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    check_key(app, headers.get(API_KEY).map(HeaderValue::as_bytes)).await
}

/// As [`require_key`], with what was sent as a key.
pub(crate) async fn check_key(app: &App, sent: Option<&[u8]>) -> Result<(), ApiError> {
    let Some(guard) = &app.guard else { return Ok(()) };
    let access = &app.metrics.access;
    let Some(sent) = sent else {
        access.refuse(KeyFailure::Missing);
        return Err(ApiError::Unauthorized);
    };
    if let Some(name) = guard.keys.current().name_of(sent) {
        access.let_pass(name);
        return Ok(());
    }
    access.refuse(KeyFailure::Wrong);
    guard.slowdown.wait().await;
    Err(ApiError::Unauthorized)
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::time::Instant;

    use super::*;
    use crate::config::Environment;

    fn app(settings: &[(&str, &str)]) -> App {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        App::new(Config::read(&settings.collect::<Environment>()).unwrap())
    }

    fn headers(key: &str) -> HeaderMap {
        [(API_KEY, key.parse().unwrap())].into_iter().collect()
    }

    // The clock is stopped, and goes on only when all wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_right_key_never_waits_while_wrong_ones_do() {
        let app = app(&[("MLOPS_API_KEY", "s3cret")]);
        let (right, wrong) = (headers("s3cret"), headers("guess"));
        for _ in 0..10 {
            assert_eq!(require_key(&app, &wrong).await, Err(ApiError::Unauthorized));
        }
        let begun = Instant::now();
        let mut guesses = Box::pin(join_all((0..1000).map(|_| require_key(&app, &wrong))));
        assert!((&mut guesses).now_or_never().is_none());
        for _ in 0..1000 {
            assert_eq!(require_key(&app, &right).now_or_never(), Some(Ok(())));
        }
        // Nor does one who sends none: that is no guess.
        assert_eq!(require_key(&app, &HeaderMap::new()).now_or_never(), Some(Err(ApiError::Unauthorized)));
        assert!(guesses.await.iter().all(Result::is_err));
        assert!(begun.elapsed().as_millis() >= 100, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn without_a_key_in_force_everybody_passes() {
        let app = app(&[]);
        assert_eq!((require_key(&app, &headers("any")).await, app.count_keys()), (Ok(()), 0));
    }
}
