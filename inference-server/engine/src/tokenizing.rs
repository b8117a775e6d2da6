//! The tokenizer threads: long texts are tokenized here and never on the threads that serve HTTP.

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    Batcher, Encoding, EngineError, Input, Tokenize,
    admission::{Admission, Permit},
    culprits::Culprits,
    reply::{Caller, Reply},
    withdrawn,
    worker::Job,
};
use crate::Series;

/// A text that waits to be tokenized.
pub(crate) struct Pending {
    pub(crate) input: Input<'static>,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Instant,
    pub(crate) place: Permit,
    pub(crate) reply: Caller,
}

/// Tokenizer threads; dropping it finishes what was submitted and joins them.
pub(crate) struct TokenizerPool {
    texts: Option<Sender<Pending>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a tokenizer thread works with.
#[derive(Clone)]
pub(crate) struct Tokenizing {
    pub(crate) tokenizer: Arc<dyn Tokenize>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) batcher: Arc<Batcher<Job>>,
    pub(crate) culprits: Arc<Culprits>,
    pub(crate) series: Arc<Series>,
}

impl TokenizerPool {
    pub(crate) fn start(threads: NonZeroUsize, tokenizing: &Tokenizing) -> std::io::Result<Self> {
        // Admission bounds the texts.
        let (sender, texts) = crossbeam_channel::unbounded::<Pending>();
        let threads = (0..threads.get())
            .map(|index| {
                let (texts, tokenizing) = (texts.clone(), tokenizing.clone());
                thread::Builder::new().name(format!("tokenizer-{index}")).spawn(move || tokenizing.all(&texts))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { texts: Some(sender), threads })
    }

    pub(crate) fn submit(&self, text: Pending) -> Result<(), EngineError> {
        self.texts.as_ref().and_then(|texts| texts.send(text).ok()).ok_or(EngineError::Stopped)
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

impl Tokenizing {
    fn all(&self, texts: &Receiver<Pending>) {
        for text in texts {
            let now = Instant::now();
            if text.reply.is_closed() || text.deadline <= now {
                self.series.reject_many(withdrawn(text.deadline, now), 1);
                // Who still waits learns it from the dropped reply.
                drop(text.reply.send(Err(EngineError::Expired)));
                continue;
            }
            self.one(text, now);
        }
    }

    fn one(&self, text: Pending, tokenizing: Instant) {
        let Pending { input, arrived, deadline, place, reply } = text;
        // A text that makes the tokenizer panic must not end the thread for all who come after.
        let encoding = catch_unwind(AssertUnwindSafe(|| self.tokenizer.tokenize(&input)))
            .unwrap_or_else(|_| Err("the tokenizer panicked".to_owned().into()));
        let queued = Instant::now();
        let settled = encoding.map_err(EngineError::from).and_then(|encoding| {
            let failed = encoding.windows.iter().find_map(|window| self.culprits.find(window, queued));
            if let Some(sentence) = failed {
                return Err(EngineError::Model(sentence));
            }
            self.admission.learn(input.bytes(), encoding.windows.iter().map(|window| window.ids.len()).sum());
            let length = encoding.windows.iter().map(|window| self.admission.length(window)).sum();
            let place = place.settle(length, deadline)?;
            Ok((encoding, place))
        });
        let (Encoding { windows, truncated }, place) = match settled {
            Ok(settled) => settled,
            // An error means that the caller has gone: nobody is left to tell.
            Err(error) => return drop(reply.send(Err(error))),
        };
        let replies = Reply::of(reply, windows.len());
        // Windows count one by one, as they run.
        let mut whole = (windows.len() == 1).then_some(place);
        for (tokens, reply) in windows.into_iter().zip(replies) {
            let length = self.admission.length(&tokens);
            let place = whole.take().unwrap_or_else(|| self.admission.place(length));
            self.batcher.push(Job { tokens, length, truncated, arrived, tokenizing, queued, deadline, place, reply });
        }
    }
}
