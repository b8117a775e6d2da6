//! Finds out that nothing goes on any more.
//!
//! A leader that can't work must not keep the lease: the standby might be able to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::lock::lock;

/// How long nothing may finish while something waits. Several times what the longest request may take.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Knows what goes on. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Watchdog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    going_on: usize,
    /// Since when something has been going on and nothing has finished.
    since: Option<Instant>,
}

/// Something that goes on until it is finished or dropped.
#[derive(Debug)]
pub struct Mark(Watchdog);

impl Watchdog {
    /// Notes that something has begun, or waits to.
    #[must_use]
    pub fn begin(&self) -> Mark {
        let mut state = lock(&self.0);
        state.going_on += 1;
        state.since.get_or_insert_with(Instant::now);
        Mark(self.clone())
    }

    /// Waits until nothing has finished for [`PATIENCE`] while something went on.
    pub async fn stuck(&self) {
        loop {
            let since = lock(&self.0).since;
            match since {
                Some(since) if since.elapsed() >= PATIENCE => return,
                Some(since) => sleep_until(since + PATIENCE).await,
                // What begins meanwhile has its time, too.
                None => sleep(PATIENCE).await,
            }
        }
    }
}

impl Mark {
    /// Notes that it has come to its end, well or not.
    pub fn finish(self) {}
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        state.going_on = state.going_on.saturating_sub(1);
        state.since = (state.going_on > 0).then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_to_do_is_not_stuck() {
        assert!(timeout(PATIENCE * 10, Watchdog::default().stuck()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn something_that_never_finishes_is_found() {
        let watchdog = Watchdog::default();
        sleep(SECOND).await;
        let began = Instant::now();
        let _hangs = watchdog.begin();
        watchdog.stuck().await;
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_finish_one_that_hangs_stops_nothing() {
        let watchdog = Watchdog::default();
        let _hangs = watchdog.begin();
        let others = async {
            for _ in 0..10 {
                sleep(PATIENCE / 2).await;
                watchdog.begin().finish();
            }
        };
        tokio::select! {
            () = watchdog.stuck() => panic!("there was no reason to end"),
            () = others => {}
        }
        let last = Instant::now();
        watchdog.stuck().await;
        assert_eq!(last.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finished_last_leaves_nothing_behind() {
        let watchdog = Watchdog::default();
        let mark = watchdog.begin();
        sleep(PATIENCE.saturating_sub(SECOND)).await;
        mark.finish();
        assert!(timeout(PATIENCE * 3, watchdog.stuck()).await.is_err());
    }
}
