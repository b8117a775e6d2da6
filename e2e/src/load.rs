//! What `load`, the program that calls a service at a constant rate, reports.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Failures that are told in words.
const TOLD: usize = 10;

/// The sum of a run. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Answers that came from a cache.
    pub cached: u64,
    /// Longest time from when a request was due to its answer.
    pub slowest_ms: u64,
    /// Requests that took longer than a second.
    pub over_a_second: u64,
    /// The first failures.
    pub failures: Vec<String>,
}

impl Report {
    /// Counts a request that ended so long after the start of the run and took so long. A good answer is true when it
    /// came from a cache.
    pub fn count(&mut self, ended: u64, took: u64, answer: Result<bool, Failure>) {
        self.sent += 1;
        self.slowest_ms = self.slowest_ms.max(took);
        self.over_a_second += u64::from(took > 1000);
        match answer {
            Ok(cached) => self.cached += u64::from(cached),
            Err(problem) => {
                self.failed += 1;
                self.failures.push(format!("{ended} ms: {problem}"));
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
    fn failures_and_slow_answers_are_seen_in_the_sum() {
        let (mut sum, mut part) = (Report::default(), Report::default());
        sum.count(10, 7, Ok(true));
        part.count(1100, 1001, Ok(false));
        part.count(1500, 3, Err("refused".to_owned()));
        sum.count(1200, 3, Err("503".to_owned()));
        sum.add(part);
        assert_eq!((sum.sent, sum.failed, sum.cached), (4, 2, 1));
        assert_eq!((sum.slowest_ms, sum.over_a_second), (1001, 1));
        assert_eq!(sum.failures, ["1200 ms: 503", "1500 ms: refused"]);
    }
}
