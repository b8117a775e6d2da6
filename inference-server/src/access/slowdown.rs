//! Slows down those who try keys, whoever they are: behind a proxy all callers have one address.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// What each wrong key of late adds to the delay.
const STEP: Duration = Duration::from_millis(10);

/// Longest delay.
const MOST: Duration = Duration::from_secs(1);

/// After this time half of the wrong keys are forgotten.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Refusals that wait at the same time, at most. Each has a connection and what it sent.
const MOST_WAITING: usize = 64;

/// Of so many connections, one may wait.
const SHARE: usize = 8;

/// Wrong keys of late, and the places to wait.
pub(super) struct Slowdown {
    recent: Mutex<Recent>,
    places: Semaphore,
}

struct Recent {
    wrong: f64,
    at: Instant,
}

impl Slowdown {
    /// Nothing to slow down yet. `connections` is how many may be open: those that wait must leave room for
    /// others.
    pub(super) fn new(connections: usize) -> Self {
        let places = (connections / SHARE).clamp(1, MOST_WAITING);
        Self { recent: Mutex::new(Recent { wrong: 0.0, at: Instant::now() }), places: Semaphore::new(places) }
    }

    /// Notes a wrong key, and waits a while that grows with the number of those of late. Without a place to wait,
    /// it doesn't: guesses by the hundred at once aren't slowed down, and nobody else is.
    pub(super) async fn wait(&self) {
        let delay = self.note();
        if let Ok(_place) = self.places.try_acquire() {
            sleep(delay).await;
        }
    }

    fn note(&self) -> Duration {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.duration_since(recent.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        recent.wrong = recent.wrong * 0.5_f64.powf(passed) + 1.0;
        recent.at = now;
        STEP.mul_f64(recent.wrong.min(MOST.div_duration_f64(STEP)))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::time::advance;

    use super::*;

    async fn waited(slowdown: &Slowdown) -> Duration {
        let begun = Instant::now();
        slowdown.wait().await;
        begun.elapsed()
    }

    // The clock is stopped, and goes on only when all wait for it.
    #[tokio::test(start_paused = true)]
    async fn the_delay_grows_to_a_bound_and_is_forgotten() {
        let slowdown = Slowdown::new(8192);
        assert!(waited(&slowdown).await < Duration::from_millis(20));
        for _ in 0..1000 {
            slowdown.note();
        }
        assert!((Duration::from_millis(900)..Duration::from_millis(1100)).contains(&waited(&slowdown).await));
        advance(Duration::from_mins(5)).await;
        assert!(waited(&slowdown).await < Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_are_few() {
        for (connections, places) in [(8192, 64), (80, 10), (1, 1)] {
            let slowdown = Slowdown::new(connections);
            let waiting: Vec<_> = (0..places).map(|_| slowdown.wait()).collect();
            let mut waiting = Box::pin(join_all(waiting));
            assert!((&mut waiting).now_or_never().is_none());
            assert!(slowdown.wait().now_or_never().is_some(), "{connections}");
            waiting.await;
            assert!(slowdown.wait().now_or_never().is_none(), "a place is free again");
        }
    }
}
