//! Runs the jobs' texts in the background, a few at a time, so that requests go first.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::{self, MissedTickBehavior};

use super::Answer;
use super::{Assignment, Failure, Jobs, Moment, Text};

/// Code of a defect of the server.
const PANICKED: &str = "E4001";

impl Jobs {
    /// Runs texts until dropped. `classify` answers one text until its deadline; `most` says how many
    /// texts may be with it at once. It is asked anew before each text and told how many there are;
    /// less than 1 counts as 1, so that jobs always get on.
    pub async fn run<C, F>(&self, classify: C, most: impl Fn(usize) -> usize)
    where
        C: Fn(Text, Instant) -> F,
        F: Future<Output = Result<Answer, Failure>>,
    {
        let mut cleanup = time::interval(self.cleanup_interval);
        cleanup.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = FuturesUnordered::new();
        let classify = &classify;
        loop {
            while running.len() < most(running.len()).max(1) {
                let Some(Assignment { ticket, text, deadline }) = self.store().next_text(Moment::now()) else {
                    break;
                };
                // A panic costs this text its answer, never all jobs their runner.
                let outcome = AssertUnwindSafe(async move { classify(text, deadline).await }).catch_unwind();
                running.push(async move {
                    let outcome = outcome
                        .await
                        .unwrap_or_else(|_| Err(Failure::new(PANICKED, "the server panicked on this text")));
                    (ticket, outcome)
                });
            }
            tokio::select! {
                Some((ticket, outcome)) = running.next() => {
                    self.store().record(ticket, outcome, Moment::now());
                    // Answers from the cache are there at once, and a thousand of them in a row would
                    // keep this thread from its requests.
                    tokio::task::yield_now().await;
                }
                () = self.arrival.notified() => {}
                _ = cleanup.tick() => self.store().advance(Moment::now()),
            }
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
