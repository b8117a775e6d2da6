//! What the model has done since the start, in counts and times, for protocols that ask for it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use engine::Timeline;

/// How often something was done, and for how long in all.
#[derive(Debug, Default)]
pub struct Tally {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Tally {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How often.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// For how long in all, in nanoseconds.
    #[must_use]
    pub fn nanoseconds(&self) -> u64 {
        self.nanoseconds.load(Relaxed)
    }
}

/// Counts and times of texts, of every protocol.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Answered, from the question to the answer.
    pub answered: Tally,
    /// Left without an answer.
    pub failed: Tally,
    /// Made into tokens.
    pub tokenized: Tally,
    /// Waited for a worker.
    pub queued: Tally,
    /// Run, each for as long as its batch.
    pub ran: Tally,
    /// Read by the head.
    pub judged: Tally,
    /// Answered without a run of their own.
    pub kept: Tally,
    /// The last answer, in milliseconds since 1970; 0 when there was none.
    last: AtomicU64,
}

impl Statistics {
    /// When the last text was answered, in milliseconds since 1970; 0 when none was.
    #[must_use]
    pub fn last_answer(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Adds a run's steps.
    pub(super) fn run(&self, timeline: &Timeline) {
        let Timeline { tokenizing, queued, run, done, .. } = *timeline;
        self.tokenized.add(queued - tokenizing);
        self.queued.add(run - queued);
        self.ran.add(done - run);
    }

    /// Adds an answer to a question of `begun`, whose output was there at `output`.
    pub(super) fn answer(&self, begun: Instant, output: Instant, is_kept: bool) {
        if is_kept {
            self.kept.add(output - begun);
        }
        self.judged.add(output.elapsed());
        self.answered.add(begun.elapsed());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds a question of `begun` without an answer.
    pub(super) fn failure(&self, begun: Instant) {
        self.failed.add(begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_count_and_its_time() {
        let statistics = Statistics::default();
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let timeline = Timeline { tokenizing: at(0), queued: at(1), run: at(3), done: at(6), tokens: 7, batch_size: 1 };
        statistics.run(&timeline);
        statistics.run(&timeline);
        statistics.answer(begun, begun, true);
        statistics.failure(begun);
        let found = |tally: &Tally| (tally.count(), tally.nanoseconds() / 1_000_000);
        assert_eq!(
            (found(&statistics.tokenized), found(&statistics.queued), found(&statistics.ran)),
            ((2, 2), (2, 4), (2, 6))
        );
        assert_eq!((statistics.answered.count(), statistics.kept.count(), statistics.failed.count()), (1, 1, 1));
        assert!(statistics.last_answer() > 1_700_000_000_000);
    }
}
