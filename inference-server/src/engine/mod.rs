//! Texts in, class probabilities out. HTTP never touches a session: a text is tokenized on a pool
//! of its own, waits in a bounded queue, and is taken by a free worker together with others of
//! about its length.

mod admission;
mod batcher;
mod lane;
mod priority;
mod queue;
mod tokenizing;
mod worker;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{config::EngineConfig, metrics::Metrics};
use admission::{Admission, Place};
pub use batcher::{Batcher, Next};
pub use lane::Lane;
pub use queue::{Limits, Queue, Queued};
use tokenizing::{Text, TokenizerPool};

/// Token ids of one text, special tokens included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids in order.
    pub ids: Vec<u32>,
    /// Segment ids; `None` when all are 0.
    pub type_ids: Option<Vec<u8>>,
}

/// Turns a text into tokens.
pub trait Tokenize: Send + Sync + 'static {
    /// The tokens of a text, cut to the model's limit. The error is a sentence.
    fn tokenize(&self, text: &str) -> Result<Tokens, String>;
}

/// How the texts of a batch are laid out in the model's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row for each text, filled up to the longest.
    Padded,
    /// One after another, in a single row.
    Varlen,
}

/// Runs a batch through the model. Each worker owns one.
pub trait Classify: Send + 'static {
    /// What a batch costs depends on it.
    fn layout(&self) -> Layout;

    /// Whether the model's weights are quantized; what a batch costs depends on that too.
    fn is_quantized(&self) -> bool;

    /// Logits for each text, in the order given. The memory that it took is kept for the next run on
    /// the same thread. The error is a sentence.
    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String>;

    /// Gives what runs on this thread have kept back to the system.
    fn return_memory(&mut self);
}

/// What the engine says about one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Raw output of the model, one number a class.
    pub logits: Vec<f32>,
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

/// Why a text has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// As many texts wait as may wait.
    #[error("{capacity} texts are waiting already")]
    Full {
        /// The bound that was reached.
        capacity: usize,
    },
    /// The deadline passed before the model ran.
    #[error("the request's time was up before the model ran")]
    Expired,
    /// The text can't be tokenized.
    #[error("the text can't be tokenized: {0}")]
    Tokenizer(String),
    /// The model failed on the batch that the text was in.
    #[error("the model failed: {0}")]
    Model(String),
    /// The engine is shutting down.
    #[error("the engine is stopping")]
    Stopped,
}

/// The running engine. Dropping it finishes what is queued and joins its threads.
pub struct Engine {
    admission: Admission,
    batcher: Arc<Batcher<worker::Job>>,
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
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let limits = Limits::new(config, classifier().as_ref(), threads);
        let batcher = Arc::new(Batcher::new(limits, Arc::clone(&metrics)));
        // Tokenizing costs about a hundredth of inference, so a few threads keep every worker fed.
        let tokenizer_threads = NonZeroUsize::MIN.saturating_add(threads / 4);
        let tokenizers = TokenizerPool::start(tokenizer_threads, config.queue_capacity, tokenizer, &batcher)?;
        let mut workers = Vec::new();
        for lane in Lane::ALL {
            for index in 0..threads.max(1) {
                let (classifier, batcher, metrics) = (classifier(), Arc::clone(&batcher), Arc::clone(&metrics));
                let thread = thread::Builder::new().name(format!("{}-{index}", lane.name()));
                workers.push(thread.spawn(move || worker::run(lane, classifier, &batcher, &metrics))?);
            }
        }
        let admission = Admission::new(config.queue_capacity, metrics);
        Ok(Self { admission, batcher, tokenizers: Some(tokenizers), workers })
    }

    /// Queues a text and waits for its outcome. Dropping the future withdraws the text.
    pub async fn classify(&self, text: String, deadline: Instant) -> Result<Outcome, EngineError> {
        self.run(text, deadline, self.admission.enter()?).await
    }

    /// As [`Self::classify`], but waits for a place where that refuses. For callers that bound
    /// themselves how many texts they have here at once.
    pub async fn classify_patiently(&self, text: String, deadline: Instant) -> Result<Outcome, EngineError> {
        self.run(text, deadline, self.admission.wait().await?).await
    }

    async fn run(&self, content: String, deadline: Instant, place: Place) -> Result<Outcome, EngineError> {
        let (reply, outcome) = oneshot::channel();
        let text = Text { content, arrived: Instant::now(), deadline, place, reply };
        self.tokenizers.as_ref().ok_or(EngineError::Stopped)?.submit(text)?;
        outcome.await.unwrap_or(Err(EngineError::Stopped))
    }
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
