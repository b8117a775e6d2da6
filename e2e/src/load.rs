//! What `load`, the program that calls a service at a constant rate, reports.

use serde::{Deserialize, Serialize};

/// Failures that are told in words.
const TOLD: usize = 10;

/// The sum of a run. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Those of the failed to which no answer came, good or bad: nobody listened, or the connection broke.
    pub unanswered: u64,
    /// When the first and the last failure came, since the start of the run.
    pub failed_between: Option<(u64, u64)>,
    /// Answers that came from a cache.
    pub cached: u64,
    /// Longest time from when a request was due to its answer.
    pub slowest_ms: u64,
    /// Requests that took longer than a second.
    pub over_a_second: u64,
    /// The first failures.
    pub failures: Vec<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No answer came.
    Unanswered(String),
    /// The answer was not a good one.
    Answered(String),
}

impl Report {
    /// Counts a request that ended so long after the start of the run and took so long. A good answer is true when it
    /// came from a cache.
    pub fn count(&mut self, ended: u64, took: u64, answer: Result<bool, Problem>) {
        self.sent += 1;
        self.slowest_ms = self.slowest_ms.max(took);
        self.over_a_second += u64::from(took > 1000);
        let problem = match answer {
            Ok(cached) => {
                self.cached += u64::from(cached);
                return;
            }
            Err(Problem::Unanswered(problem)) => {
                self.unanswered += 1;
                problem
            }
            Err(Problem::Answered(problem)) => problem,
        };
        self.failed += 1;
        self.failed_between = span(self.failed_between, Some((ended, ended)));
        self.failures.push(format!("{ended} ms: {problem}"));
        self.failures.truncate(TOLD);
    }

    /// Adds what another caller has seen.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.failed_between = span(self.failed_between, other.failed_between);
        self.cached += other.cached;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        self.over_a_second += other.over_a_second;
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
    }

    /// Time from the first failure to the last, in milliseconds.
    #[must_use]
    pub fn failed_for(&self) -> u64 {
        self.failed_between.map_or(0, |(first, last)| last - first)
    }
}

fn span(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some((first, last)), Some((start, end))) => Some((first.min(start), last.max(end))),
        _ => one.or(other),
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
        part.count(1500, 3, Err(Problem::Unanswered("refused".to_owned())));
        sum.count(1200, 3, Err(Problem::Answered("503".to_owned())));
        sum.add(part);
        assert_eq!((sum.sent, sum.failed, sum.unanswered, sum.cached), (4, 2, 1, 1));
        assert_eq!((sum.slowest_ms, sum.over_a_second, sum.failed_for()), (1001, 1, 300));
        assert_eq!(sum.failures, ["1200 ms: 503", "1500 ms: refused"]);
    }
}
