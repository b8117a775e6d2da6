//! The tokenizer threads: long texts are tokenized here and never on the threads that serve HTTP.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::{Batcher, EngineError, Outcome, Tokenize, admission::Place, worker::Job};

/// A text that waits to be tokenized.
pub(super) struct Text {
    pub(super) content: String,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
    pub(super) place: Place,
    pub(super) reply: oneshot::Sender<Result<Outcome, EngineError>>,
}

/// Tokenizer threads; dropping it finishes what was submitted and joins them.
pub(super) struct TokenizerPool {
    texts: Option<Sender<Text>>,
    threads: Vec<JoinHandle<()>>,
}

impl TokenizerPool {
    pub(super) fn start(
        threads: NonZeroUsize,
        capacity: usize,
        tokenizer: &Arc<dyn Tokenize>,
        batcher: &Arc<Batcher<Job>>,
    ) -> std::io::Result<Self> {
        // Admission bounds the texts, so sending never finds this full.
        let (sender, texts) = crossbeam_channel::bounded(capacity);
        let threads = (0..threads.get())
            .map(|index| {
                let (texts, tokenizer, batcher) = (texts.clone(), Arc::clone(tokenizer), Arc::clone(batcher));
                thread::Builder::new()
                    .name(format!("tokenizer-{index}"))
                    .spawn(move || tokenize_all(&texts, tokenizer.as_ref(), &batcher))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { texts: Some(sender), threads })
    }

    pub(super) fn submit(&self, text: Text) -> Result<(), EngineError> {
        self.texts.as_ref().and_then(|texts| texts.try_send(text).ok()).ok_or(EngineError::Stopped)
    }
}

impl Drop for TokenizerPool {
    fn drop(&mut self) {
        self.texts.take();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a tokenizer thread had panicked");
            }
        }
    }
}

fn tokenize_all(texts: &Receiver<Text>, tokenizer: &dyn Tokenize, batcher: &Batcher<Job>) {
    for text in texts {
        let Text { content, arrived, deadline, place, reply } = text;
        if reply.is_closed() || deadline <= Instant::now() {
            // Its handler has answered already; the place is what has to be given back.
            continue;
        }
        let tokenizing = Instant::now();
        // A text that makes the tokenizer panic must not end the thread for all who come after.
        let tokens = catch_unwind(AssertUnwindSafe(|| tokenizer.tokenize(&content)))
            .unwrap_or_else(|_| Err("the tokenizer panicked".to_owned()));
        match tokens {
            Ok(tokens) => {
                let queued = Instant::now();
                batcher.push(Job { tokens, arrived, tokenizing, queued, deadline, place, reply });
            }
            // An error means that the caller has gone: nobody is left to tell.
            Err(error) => drop(reply.send(Err(EngineError::Tokenizer(error)))),
        }
    }
}
