//! Waiting for what a cluster does in its own time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::Failure;

const PAUSE: Duration = Duration::from_millis(50);

/// Repeats a check until it succeeds. Its last failure is the message of the time-out.
pub async fn within<T, F, Fut>(limit: Duration, what: &str, check: F) -> Result<T, Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let began = Instant::now();
    loop {
        match check().await {
            Ok(value) => return Ok(value),
            Err(why) if began.elapsed() > limit => {
                return Err(format!("{what} took more than {} s: {why}", limit.as_secs_f32()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// [`within`] as long as anything sound takes on a slow machine.
pub async fn eventually<T, F, Fut>(what: &str, check: F) -> Result<T, Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    within(Duration::from_secs(90), what, check).await
}
