//! Which of the waiting texts form the next batch. Pure: no thread, no clock, no model.

use std::time::{Duration, Instant};

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

/// How much later than its arrival a text counts as due, for each of its tokens. Short texts go
/// first, and a long one is overtaken only by what comes within this time: neither starves.
const PATIENCE_PER_TOKEN: Duration = Duration::from_millis(1);

/// What one run of the model costs beyond its tokens, in tokens. Measured on the default model: a
/// run costs 2.4 ms and 0.145 ms a token. Padding that costs less than a run of its own is worth it.
const RUN_COST_IN_TOKENS: usize = 16;

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
}

impl<J: Queued> Queue<J> {
    /// An empty queue whose batches hold at most `max_tokens` tokens, padding included, and at most
    /// `max_size` texts. A text of more tokens than that runs alone.
    #[must_use]
    pub fn new(max_tokens: usize, max_size: usize) -> Self {
        Self { waiting: Vec::new(), max_tokens, max_size }
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

    /// Takes the most urgent text and those near its length. `free_workers` counts the one that
    /// asks: it leaves the others their share, since two half batches at once beat one after the other.
    pub fn take(&mut self, now: Instant, free_workers: usize) -> Taken<J> {
        let (abandoned, expired) = self.throw_out(now);
        let most = self.waiting.len().div_ceil(free_workers.max(1)).min(self.max_size);
        let mut chosen = self.choose(most);
        // From the back, so that the indices before stay right.
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        let mut batch: Vec<J> = chosen.into_iter().map(|index| self.waiting.remove(index)).collect();
        batch.reverse();
        Taken { batch, expired, abandoned }
    }

    fn throw_out(&mut self, now: Instant) -> (Vec<J>, Vec<J>) {
        let abandoned = self.waiting.extract_if(.., |job| job.is_abandoned()).collect();
        let expired = self.waiting.extract_if(.., |job| job.deadline() <= now).collect();
        (abandoned, expired)
    }

    /// Indices of the next batch.
    fn choose(&self, most: usize) -> Vec<usize> {
        let Some((anchor, first)) = self.waiting.iter().enumerate().min_by_key(|(_, job)| due(*job)) else {
            return Vec::new();
        };
        let mut others: Vec<usize> = (0..self.waiting.len()).filter(|index| *index != anchor).collect();
        let distance = |index: &usize| {
            let job = &self.waiting[*index];
            (job.tokens().abs_diff(first.tokens()), job.arrived())
        };
        others.sort_by_cached_key(distance);

        let mut chosen = vec![anchor];
        let mut longest = first.tokens();
        for index in others {
            if chosen.len() >= most {
                break;
            }
            let tokens = self.waiting[index].tokens();
            let with = (chosen.len() + 1) * longest.max(tokens);
            let without = chosen.len() * longest;
            let worth_it = with - without <= tokens + RUN_COST_IN_TOKENS;
            if with <= self.max_tokens && worth_it {
                chosen.push(index);
                longest = longest.max(tokens);
            }
        }
        chosen
    }
}

fn due(job: &impl Queued) -> Instant {
    let tokens = u32::try_from(job.tokens()).unwrap_or(u32::MAX);
    job.arrived() + PATIENCE_PER_TOKEN * tokens
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
