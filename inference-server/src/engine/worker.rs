//! One inference thread: takes batches, runs the model, answers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Batcher, Classify, EngineError, Lane, Layout, Next, Outcome, Queued, Timeline, Tokens, admission::Place, priority,
};
use crate::metrics::{Metrics, Rejection};

/// A tokenized text that waits for a worker.
pub(super) struct Job {
    pub(super) tokens: Tokens,
    pub(super) arrived: Instant,
    /// When a tokenizer thread took it, and when it was done.
    pub(super) tokenizing: Instant,
    pub(super) queued: Instant,
    pub(super) deadline: Instant,
    pub(super) place: Place,
    pub(super) reply: oneshot::Sender<Result<Outcome, EngineError>>,
}

impl Queued for Job {
    fn tokens(&self) -> usize {
        self.tokens.ids.len()
    }

    fn arrived(&self) -> Instant {
        self.arrived
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// How long no text may come before a worker gives back the memory that its runs took. A run that
/// finds it still there is some percent faster.
pub(super) const LULL: Duration = Duration::from_secs(1);

/// Serves a lane until the batcher is closed and the lane empty.
pub(super) fn run(lane: Lane, mut classifier: Box<dyn Classify>, batcher: &Batcher<Job>, metrics: &Metrics) {
    priority::give_way(lane.nice());
    let (mut finished, mut keeps) = (0, false);
    loop {
        match batcher.next(lane, finished, keeps.then_some(LULL)) {
            Next::Texts(taken) => {
                finished = taken.batch.len();
                metrics.reject_many(Rejection::Expired, taken.expired.len());
                for job in taken.expired {
                    answer(job.reply, Err(EngineError::Expired));
                }
                if !taken.batch.is_empty() {
                    run_batch(classifier.as_mut(), taken.batch, metrics);
                    keeps = true;
                }
            }
            Next::Lull => {
                finished = 0;
                keeps = false;
                classifier.return_memory();
            }
            Next::Closed => return,
        }
    }
}

fn run_batch(classifier: &mut dyn Classify, batch: Vec<Job>, metrics: &Metrics) {
    let (tokens, waiting): (Vec<Tokens>, Vec<_>) = batch
        .into_iter()
        .map(|Job { tokens, tokenizing, queued, place, reply, .. }| {
            // Taken: the place is free for another text while the model runs.
            drop(place);
            (tokens, (reply, tokenizing, queued))
        })
        .unzip();
    let tokens: Vec<&Tokens> = tokens.iter().collect();

    let run = Instant::now();
    // A panic here costs these texts their answer, never the service its worker.
    let result = catch_unwind(AssertUnwindSafe(|| classifier.classify(&tokens)))
        .unwrap_or_else(|_| Err("the inference thread panicked".to_owned()));
    let done = Instant::now();
    let inference = done - run;
    observe(metrics, classifier.layout(), &tokens, inference);

    match result {
        Ok(logits) if logits.len() == waiting.len() => {
            let batch_size = waiting.len();
            for (((reply, tokenizing, queued), logits), tokens) in waiting.into_iter().zip(logits).zip(tokens) {
                let timeline = Timeline { tokenizing, queued, run, done, tokens: tokens.ids.len(), batch_size };
                answer(reply, Ok(Outcome { logits, inference, timeline }));
            }
        }
        Ok(logits) => {
            let sentence = format!("{} outputs for {} texts", logits.len(), waiting.len());
            fail(waiting.into_iter().map(|(reply, ..)| reply).collect(), &sentence);
        }
        Err(sentence) => fail(waiting.into_iter().map(|(reply, ..)| reply).collect(), &sentence),
    }
}

fn fail(replies: Vec<oneshot::Sender<Result<Outcome, EngineError>>>, sentence: &str) {
    tracing::error!(texts = replies.len(), error = sentence, "a batch failed");
    for reply in replies {
        answer(reply, Err(EngineError::Model(sentence.to_owned())));
    }
}

/// An error means that the caller has gone meanwhile: nobody is left to tell.
fn answer(reply: oneshot::Sender<Result<Outcome, EngineError>>, outcome: Result<Outcome, EngineError>) {
    drop(reply.send(outcome));
}

fn observe(metrics: &Metrics, layout: Layout, tokens: &[&Tokens], inference: Duration) {
    let real = tokens.iter().map(|text| text.ids.len()).sum();
    let padding = match layout {
        Layout::Padded => tokens.iter().map(|text| text.ids.len()).max().unwrap_or_default() * tokens.len() - real,
        Layout::Varlen => 0,
    };
    metrics.observe_batch(tokens.len(), real, padding, inference);
}
