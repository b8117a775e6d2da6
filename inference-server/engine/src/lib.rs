//! Texts in, class probabilities out. HTTP never touches a session: a text is tokenized on a pool
//! of its own, waits in a bounded queue, and is taken by a free worker together with others of
//! about its length.

mod admission;
mod batcher;
mod config;
mod cost;
mod culprits;
mod error;
mod input;
mod lane;
mod length;
mod priority;
mod queue;
mod reply;
mod series;
mod tokenizing;
mod worker;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use admission::{Admission, Bounds, Permit};
pub use batcher::{Batcher, Next};
pub use config::EngineConfig;
pub use cost::Cost;
use culprits::Culprits;
pub use error::{EngineError, Full, Refusal, TokenizeError};
pub use input::Input;
pub use lane::Lane;
pub use queue::{Limits, Queue, Queued};
pub use reply::join;
pub use series::{DURATIONS, Rejection, Series};
use tokenizing::{Pending, TokenizerPool, Tokenizing};
use worker::{Job, Worker};

/// Token ids of one text, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids in order.
    pub ids: Vec<u32>,
    /// Segment ids; `None` when all are 0.
    pub type_ids: Option<Vec<u8>>,
}

/// What the model reads of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// At least one, none longer than the model's limit. More than one where a text is read in windows.
    pub windows: Vec<Tokens>,
    /// Whether the text goes on behind the last one.
    pub truncated: bool,
}

/// Turns a text into tokens.
pub trait Tokenize: Send + Sync + 'static {
    /// The tokens of a text, as much of it as the model is to read.
    fn tokenize(&self, input: &Input<'_>) -> Result<Encoding, TokenizeError>;

    /// Tokens that are read of a text at most, however long it is.
    fn most_tokens(&self) -> usize;
}

/// How the texts of a batch are laid out in the model's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row for each text, filled up to the longest.
    Padded,
    /// One after another, in a single row.
    Varlen,
}

/// What the engine has to know of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How it takes a batch.
    pub layout: Layout,
    /// Whether its weights are quantized; what a batch costs depends on that too.
    pub is_quantized: bool,
    /// Texts that a run can have; `None` for any number.
    pub most_texts: Option<usize>,
    /// Tokens that each text is filled up to, whatever its length; `None` for none.
    pub fixed_tokens: Option<usize>,
    /// What a run takes.
    pub cost: Cost,
}

/// Runs a batch through the model. Each worker owns one.
pub trait Classify: Send + 'static {
    /// What the engine has to know of the model.
    fn profile(&self) -> Profile;

    /// Logits for each text, in the order given. The memory that it took is kept for the next run on
    /// the same thread. The error is a sentence.
    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String>;

    /// Gives what runs on this thread have kept back to the system.
    fn return_memory(&mut self);
}

/// What the engine says about one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Raw output of the model, one number a class; of a text in windows their mean, each counting by its tokens.
    pub logits: Vec<f32>,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// How long the model ran, for the whole batch that the text was in.
    pub inference: Duration,
    /// When each step was taken.
    pub timeline: Timeline,
}

/// The steps of one text on its way through the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// A tokenizer thread took it.
    pub tokenizing: Instant,
    /// Its tokens were there, and it began to wait for a worker.
    pub queued: Instant,
    /// The run of its batch began.
    pub run: Instant,
    /// The run ended.
    pub done: Instant,
    /// Its length in tokens.
    pub tokens: usize,
    /// Texts of the batch.
    pub batch_size: usize,
}

/// The running engine. Dropping it finishes what is queued and joins its threads.
pub struct Engine {
    admission: Arc<Admission>,
    series: Arc<Series>,
    batcher: Arc<Batcher<Job>>,
    tokenizers: Option<TokenizerPool>,
    workers: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the tokenizer threads and `threads` workers on each [`Lane`]. Each worker gets a
    /// classifier of its own.
    pub fn start(
        config: &EngineConfig,
        threads: usize,
        tokenizer: &Arc<dyn Tokenize>,
        classifier: impl Fn() -> Box<dyn Classify>,
        series: Arc<Series>,
    ) -> std::io::Result<Self> {
        let profile = classifier().profile();
        let bounds = Bounds { texts: config.queue_capacity, wait: config.max_queue_wait, workers: threads.max(1) };
        let admission = Admission::new(bounds, profile, tokenizer.most_tokens(), Arc::clone(&series));
        let batcher = Arc::new(Batcher::new(Limits::new(config, profile, threads), Arc::clone(&series)));
        let culprits = Arc::new(Culprits::default());
        // Tokenizing costs about a hundredth of inference, so a few threads keep every worker fed.
        let tokenizer_threads = NonZeroUsize::MIN.saturating_add(threads / 4);
        let tokenizing = Tokenizing {
            tokenizer: Arc::clone(tokenizer),
            admission: Arc::clone(&admission),
            batcher: Arc::clone(&batcher),
            culprits: Arc::clone(&culprits),
            series: Arc::clone(&series),
        };
        let tokenizers = TokenizerPool::start(tokenizer_threads, &tokenizing)?;
        let mut workers = Vec::new();
        for lane in Lane::ALL {
            for index in 0..threads.max(1) {
                let worker = Worker {
                    lane,
                    classifier: classifier(),
                    batcher: Arc::clone(&batcher),
                    admission: Arc::clone(&admission),
                    culprits: Arc::clone(&culprits),
                    series: Arc::clone(&series),
                };
                let thread = thread::Builder::new().name(format!("{}-{index}", lane.name()));
                workers.push(thread.spawn(move || worker.run())?);
            }
        }
        Ok(Self { admission, series, batcher, tokenizers: Some(tokenizers), workers })
    }

    /// Queues a text and waits for its outcome. Dropping the future withdraws the text.
    pub async fn classify(&self, input: Input<'static>, deadline: Instant) -> Result<Outcome, EngineError> {
        let place = self.admission.enter(input.bytes(), deadline)?;
        self.run(input, deadline, place).await
    }

    /// As [`Self::classify`], but waits for a place where that refuses. For callers that bound
    /// themselves how many texts they have here at once.
    pub async fn classify_patiently(&self, input: Input<'static>, deadline: Instant) -> Result<Outcome, EngineError> {
        let waiting = Waiting { series: &self.series, deadline };
        let place = self.admission.wait(input.bytes()).await;
        std::mem::forget(waiting);
        self.run(input, deadline, place).await
    }

    async fn run(&self, input: Input<'static>, deadline: Instant, place: Permit) -> Result<Outcome, EngineError> {
        let (reply, outcome) = oneshot::channel();
        let pending = Pending { input, arrived: Instant::now(), deadline, place, reply };
        self.tokenizers.as_ref().ok_or(EngineError::Stopped)?.submit(pending)?;
        outcome.await.unwrap_or(Err(EngineError::Stopped))
    }
}

/// Counts a text that is withdrawn before it has a place.
struct Waiting<'a> {
    series: &'a Series,
    deadline: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.series.reject_many(withdrawn(self.deadline, Instant::now()), 1);
    }
}

/// Why nobody waits for a text any more: its time was up, which whoever waited saw first, or its client has gone.
fn withdrawn(deadline: Instant, now: Instant) -> Rejection {
    if deadline <= now { Rejection::Expired } else { Rejection::Abandoned }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In this order, so that a text in the tokenizers' hands still reaches a worker.
        self.tokenizers.take();
        self.batcher.close();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("an inference thread had panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests;
