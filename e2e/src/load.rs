//! What `load`, the program that calls a service at a constant rate, reports.

use serde::{Deserialize, Serialize};

/// Failures that are told in words.
const TOLD: usize = 10;

/// The sum of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Answers that came from a cache.
    pub cached: u64,
    /// Longest time from when a request was due to its answer, in milliseconds.
    pub slowest_ms: u64,
    /// Requests that took longer than a second.
    pub over_a_second: u64,
    /// The first failures.
    pub failures: Vec<String>,
}

impl Report {
    /// Counts a request that took so many milliseconds.
    pub fn count(&mut self, took_ms: u64, cached: Result<bool, String>) {
        self.sent += 1;
        self.slowest_ms = self.slowest_ms.max(took_ms);
        self.over_a_second += u64::from(took_ms > 1000);
        match cached {
            Ok(cached) => self.cached += u64::from(cached),
            Err(failure) => {
                self.failed += 1;
                self.failures.push(failure);
                self.failures.truncate(TOLD);
            }
        }
    }

    /// Adds what another caller has seen.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.cached += other.cached;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        self.over_a_second += other.over_a_second;
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_a_slow_answer_are_seen_in_the_sum() {
        let (mut sum, mut part) = (Report::default(), Report::default());
        sum.count(7, Ok(true));
        part.count(1001, Ok(false));
        part.count(3, Err("refused".to_owned()));
        sum.add(part);
        assert_eq!((sum.sent, sum.failed, sum.cached, sum.slowest_ms, sum.over_a_second), (3, 1, 1, 1001, 1));
        assert_eq!(sum.failures, ["refused"]);
    }
}
