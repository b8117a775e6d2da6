//! Which of the waiting texts form the next batch. Pure: no thread, no clock, no model.

use std::{
    cmp::Reverse,
    ops::Range,
    time::{Duration, Instant},
};

use super::{Cost, Layout, Profile};
use crate::EngineConfig;

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

/// Bounds how long texts are overtaken where tokens take very long.
const MOST_AGEING: Duration = Duration::from_millis(2);

/// So many runs of every worker are waiting where batches grow beyond their usual size: who waits
/// for that many doesn't mind one of twice the length, and a larger batch does 5% more in its time.
const BACKLOG_IN_RUNS: usize = 4;

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

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How the model takes a batch.
    pub layout: Layout,
    /// Tokens of a batch, padding included, as long as no more than a few runs of such batches wait.
    pub usual_tokens: usize,
    /// Tokens of a batch where more wait. A text that is longer than what a batch may be runs alone.
    pub max_tokens: usize,
    /// Texts of a batch.
    pub max_size: usize,
    /// Workers that take batches.
    pub workers: usize,
    /// What a run takes.
    pub cost: Cost,
}

impl Limits {
    /// Those of the settings and of the model. Only what is quantized gains from the largest batches: the rest, with
    /// numbers of four times the size, has left the CPU's caches before.
    #[must_use]
    pub fn new(config: &EngineConfig, profile: Profile, workers: usize) -> Self {
        let usual_tokens = config.max_batch_tokens / 2;
        let max_tokens = if profile.is_quantized { config.max_batch_tokens } else { usual_tokens };
        let max_size = profile.most_texts.map_or(config.max_batch_size, |most| most.min(config.max_batch_size));
        Self { layout: profile.layout, usual_tokens, max_tokens, max_size, workers: workers.max(1), cost: profile.cost }
    }

    /// How much later a text may have come and still go first, for each token that it is shorter: twice what a token
    /// takes, so that short ones overtake. No text is overtaken by those that come later than this times the longest
    /// text, so that none starves.
    fn ageing(&self) -> Duration {
        (self.cost.token * 2).min(MOST_AGEING)
    }

    /// Whose turn it is: that of the text that has waited longest, less what a short one is let go before.
    fn due<J: Queued>(&self, job: &J) -> Instant {
        job.arrived() + self.ageing() * u32::try_from(job.tokens()).unwrap_or(u32::MAX)
    }
}

/// What the next batch may be.
#[derive(Clone, Copy)]
struct Bounds {
    texts: usize,
    tokens: usize,
}

/// The waiting texts, and how many are under way.
#[derive(Debug)]
pub struct Queue<J> {
    waiting: Vec<J>,
    running: usize,
    limits: Limits,
}

impl<J: Queued> Queue<J> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { waiting: Vec::new(), running: 0, limits }
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

    /// Takes the most urgent text and those that best share a run with it, and leaves the other
    /// workers their share of all that is here: of two runs at once, two halves cost less than most
    /// and a rest. The batch counts as under way until [`Self::finish`].
    pub fn take(&mut self, now: Instant) -> Taken<J> {
        // In this order: whoever waits for a text goes when its time is up.
        let expired = self.waiting.extract_if(.., |job| job.deadline() <= now).collect();
        let abandoned = self.waiting.extract_if(.., |job| job.is_abandoned()).collect();
        let share = (self.waiting.len() + self.running).div_ceil(self.limits.workers);
        let most = share.clamp(1, self.limits.max_size.max(1));
        let bounds = Bounds { texts: most, tokens: self.tokens_of_a_batch() };
        let range = match self.limits.layout {
            Layout::Padded => self.alike_in_length(bounds),
            Layout::Varlen => self.first_in_turn(bounds),
        };
        let batch: Vec<J> = self.waiting.drain(range).collect();
        self.running += batch.len();
        Taken { batch, expired, abandoned }
    }

    /// So many texts of taken batches aren't under way any more.
    pub fn finish(&mut self, texts: usize) {
        self.running -= texts;
    }

    fn tokens_of_a_batch(&self) -> usize {
        let Limits { usual_tokens, max_tokens, workers, .. } = self.limits;
        let waiting = || self.waiting.iter().map(J::tokens).sum::<usize>();
        let grows = max_tokens > usual_tokens && waiting() > BACKLOG_IN_RUNS * workers * usual_tokens;
        if grows { max_tokens } else { usual_tokens }
    }

    /// Without padding it costs nothing that texts differ in length.
    fn first_in_turn(&mut self, bounds: Bounds) -> Range<usize> {
        let limits = self.limits;
        self.waiting.sort_by_cached_key(|job| limits.due(job));
        let mut tokens = 0;
        let fits = |job: &&J| {
            tokens += job.tokens();
            tokens <= bounds.tokens
        };
        let fitting = self.waiting.iter().take(bounds.texts).take_while(fits).count();
        0..fitting.max(1).min(self.waiting.len())
    }

    fn alike_in_length(&mut self, bounds: Bounds) -> Range<usize> {
        self.waiting.sort_unstable_by_key(|job| (job.tokens(), job.arrived()));
        let urgent = (0..self.waiting.len()).min_by_key(|index| self.limits.due(&self.waiting[*index]));
        urgent.map_or(0..0, |urgent| self.share_a_run(urgent, bounds))
    }

    /// The texts that run with the urgent one, when the waiting ones, sorted by length, are cut into
    /// the runs that cost least in all. A longer text pads all others of its run to its length; a
    /// run of its own costs some tokens too.
    fn share_a_run(&self, urgent: usize, bounds: Bounds) -> Range<usize> {
        let (most, run) = (bounds.texts, self.limits.cost.run_in_tokens());
        // Texts further away than two runs can't be in this one, and hardly change its neighbours.
        let first = urgent.saturating_sub(2 * most);
        let window = &self.waiting[first..self.waiting.len().min(urgent + 2 * most + 1)];
        // By the end of a run: what all up to there cost, and where the last run starts.
        let mut cheapest = vec![(0, 0)];
        for (last, job) in window.iter().enumerate() {
            let longest = job.tokens();
            let fitting = (1..=most.min(last + 1)).take_while(|size| *size == 1 || size * longest <= bounds.tokens);
            let cut = fitting.map(|size| {
                let start = last + 1 - size;
                (cheapest[start].0 + run + size * longest, start)
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
pub(crate) mod tests;
