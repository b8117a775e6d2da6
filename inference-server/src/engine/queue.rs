//! Which of the waiting texts form the next batch. Pure: no thread, no clock, no model.

use std::{cmp::Reverse, ops::Range, time::Instant};

/// What the queue needs to know of a waiting text.
pub trait Queued {
    /// Its length in tokens.
    fn tokens(&self) -> usize;
    /// When it came.
    fn arrived(&self) -> Instant;
    /// When its answer is of no use any more.
    fn deadline(&self) -> Instant;
    /// Whether nobody waits for its answer any more.
    fn is_abandoned(&self) -> bool;
}

/// Tokens up to which a text counts as short. Short ones go first, since a long one delays them by
/// many times what they take themselves.
const SHORT: usize = 64;

/// Runs of short texts that may go before a long one that waits, so that it doesn't starve.
const RUNS_BEFORE_LONG: usize = 4;

/// What one run of the model costs beyond its tokens, in tokens. Measured on the default model: a
/// run costs 2 ms and 0.16 ms a token, so less padding than this is better than another run.
const RUN_COST_IN_TOKENS: usize = 12;

/// A batch and what was thrown out on the way.
#[derive(Debug)]
pub struct Taken<J> {
    /// Texts to run together, at least one unless the queue held nothing of use.
    pub batch: Vec<J>,
    /// Texts whose deadline has passed.
    pub expired: Vec<J>,
    /// Texts that nobody waits for.
    pub abandoned: Vec<J>,
}

/// The waiting texts.
#[derive(Debug)]
pub struct Queue<J> {
    waiting: Vec<J>,
    max_tokens: usize,
    max_size: usize,
    /// Runs that went before the long text that has waited longest.
    passed_over: usize,
}

impl<J: Queued> Queue<J> {
    /// An empty queue whose batches hold at most `max_tokens` tokens, padding included, and at most
    /// `max_size` texts. A text of more tokens than that runs alone.
    #[must_use]
    pub fn new(max_tokens: usize, max_size: usize) -> Self {
        Self { waiting: Vec::new(), max_tokens, max_size, passed_over: 0 }
    }

    /// Adds a text.
    pub fn push(&mut self, job: J) {
        self.waiting.push(job);
    }

    /// Number of waiting texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the most urgent text and those that best share a run with it. `free_workers` counts the
    /// one that asks: it leaves the others their share, since two half batches at once beat one
    /// after the other.
    pub fn take(&mut self, now: Instant, free_workers: usize) -> Taken<J> {
        let abandoned = self.waiting.extract_if(.., |job| job.is_abandoned()).collect();
        let expired = self.waiting.extract_if(.., |job| job.deadline() <= now).collect();
        let most = self.waiting.len().div_ceil(free_workers.max(1)).clamp(1, self.max_size);
        self.waiting.sort_unstable_by_key(|job| (job.tokens(), job.arrived()));
        let batch = match self.most_urgent() {
            Some(urgent) => self.waiting.drain(self.share_a_run(urgent, most)).collect(),
            None => Vec::new(),
        };
        Taken { batch, expired, abandoned }
    }

    /// The short text that has waited longest, or the long one when its turn has come.
    fn most_urgent(&mut self) -> Option<usize> {
        // They are sorted by length.
        let first_long = self.waiting.partition_point(|job| job.tokens() <= SHORT);
        let oldest = |range: Range<usize>| range.min_by_key(|index| self.waiting[*index].arrived());
        let (short, long) = (oldest(0..first_long), oldest(first_long..self.waiting.len()));
        match (short, long) {
            (Some(short), Some(_)) if self.passed_over < RUNS_BEFORE_LONG => {
                self.passed_over += 1;
                Some(short)
            }
            (short, long) => {
                self.passed_over = 0;
                long.or(short)
            }
        }
    }

    /// The texts that run with the urgent one, when the waiting ones, sorted by length, are cut into
    /// the runs that cost least in all. A longer text pads all others of its run to its length; a
    /// run of its own costs [`RUN_COST_IN_TOKENS`].
    fn share_a_run(&self, urgent: usize, most: usize) -> Range<usize> {
        // Texts further away than two runs can't be in this one, and hardly change its neighbours.
        let first = urgent.saturating_sub(2 * most);
        let window = &self.waiting[first..self.waiting.len().min(urgent + 2 * most + 1)];
        // By the end of a run: what all up to there cost, and where the last run starts.
        let mut cheapest = vec![(0, 0)];
        for (last, job) in window.iter().enumerate() {
            let longest = job.tokens();
            let fitting = (1..=most.min(last + 1)).take_while(|size| *size == 1 || size * longest <= self.max_tokens);
            let cut = fitting.map(|size| {
                let start = last + 1 - size;
                (cheapest[start].0 + RUN_COST_IN_TOKENS + size * longest, start)
            });
            // Of equals the one that leaves most to the runs before, which the most urgent come in.
            cheapest.extend(cut.min_by_key(|(cost, start)| (*cost, Reverse(*start))));
        }
        let mut end = window.len();
        while end > 0 && cheapest[end].1 > urgent - first {
            end = cheapest[end].1;
        }
        first + cheapest[end].1..first + end
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
