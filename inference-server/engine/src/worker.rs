//! One inference thread: takes batches, runs the model, answers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Batcher, Classify, EngineError, Lane, Layout, Next, Outcome, Queued, Timeline, Tokens,
    admission::{Admission, Permit},
    culprits::Culprits,
    priority,
    reply::Reply,
    withdrawn,
};
use crate::Series;

/// A tokenized text, or a window of one, that waits for a worker.
pub(crate) struct Job {
    pub(crate) tokens: Tokens,
    /// Tokens that are run for it.
    pub(crate) length: usize,
    pub(crate) truncated: bool,
    pub(crate) arrived: Instant,
    /// When a tokenizer thread took it, and when it was done.
    pub(crate) tokenizing: Instant,
    pub(crate) queued: Instant,
    pub(crate) deadline: Instant,
    pub(crate) place: Permit,
    pub(crate) reply: Reply,
}

impl Queued for Job {
    fn tokens(&self) -> usize {
        self.length
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
pub(crate) const LULL: Duration = Duration::from_secs(1);

/// What an inference thread works with.
pub(crate) struct Worker {
    pub(crate) lane: Lane,
    pub(crate) classifier: Box<dyn Classify>,
    pub(crate) batcher: Arc<Batcher<Job>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) culprits: Arc<Culprits>,
    pub(crate) series: Arc<Series>,
}

impl Worker {
    /// Serves the lane until the batcher is closed and the lane empty.
    pub(crate) fn run(mut self) {
        priority::give_way(self.lane.nice());
        let batcher = Arc::clone(&self.batcher);
        let (mut finished, mut keeps) = (0, false);
        loop {
            match batcher.next(self.lane, finished, keeps.then_some(LULL)) {
                Next::Texts(taken) => {
                    finished = taken.batch.len();
                    for job in taken.expired {
                        job.reply.send(Err(EngineError::Expired));
                    }
                    if !taken.batch.is_empty() {
                        self.begin(taken.batch);
                        keeps = true;
                    }
                }
                Next::Lull => {
                    finished = 0;
                    keeps = false;
                    self.classifier.return_memory();
                }
                Next::Closed => return,
            }
        }
    }

    fn begin(&mut self, mut batch: Vec<Job>) {
        let admission = Arc::clone(&self.admission);
        let _busy = admission.busy(self.lane);
        for job in &mut batch {
            job.place.leave_the_queue();
        }
        self.run_batch(batch, false);
    }

    /// Runs the batch. One that fails is run again in halves, until those texts are found that fail alone: a text can't
    /// cost others their answers.
    fn run_batch(&mut self, mut batch: Vec<Job>, is_part: bool) {
        let run = Instant::now();
        // A panic here costs these texts their answer, never the service its worker.
        let tokens: Vec<&Tokens> = batch.iter().map(|job| &job.tokens).collect();
        let result = catch_unwind(AssertUnwindSafe(|| self.classifier.classify(&tokens)))
            .unwrap_or_else(|_| Err("the inference thread panicked".to_owned()));
        let done = Instant::now();
        self.observe(&batch, done - run);

        match result {
            Ok(logits) if logits.len() == batch.len() => answer(batch, logits, run, done),
            Ok(_) | Err(_) if batch.len() > 1 => {
                let rest = batch.split_off(batch.len() / 2);
                for part in [batch, rest] {
                    let part = self.still_wanted(part);
                    if !part.is_empty() {
                        self.run_batch(part, true);
                    }
                }
            }
            Ok(logits) => self.fail(batch, &format!("{} outputs for one text", logits.len()), is_part),
            Err(sentence) => self.fail(batch, &sentence, is_part),
        }
    }

    /// Those that are worth another run.
    fn still_wanted(&self, batch: Vec<Job>) -> Vec<Job> {
        let now = Instant::now();
        let (wanted, rest): (Vec<Job>, Vec<Job>) =
            batch.into_iter().partition(|job| !job.is_abandoned() && job.deadline > now);
        for job in rest {
            self.series.reject_many(withdrawn(job.deadline, now), 1);
            job.reply.send(Err(EngineError::Expired));
        }
        wanted
    }

    /// Answers a text on which the model fails.
    fn fail(&self, batch: Vec<Job>, sentence: &str, is_part: bool) {
        tracing::warn!(error = sentence, "the model failed on a text");
        for job in batch {
            // Nobody else was hurt by one that came alone.
            if is_part {
                self.culprits.add(&job.tokens, sentence, Instant::now());
            }
            job.reply.send(Err(EngineError::Model(sentence.to_owned())));
        }
    }

    fn observe(&self, batch: &[Job], inference: Duration) {
        self.admission.observe(self.lane, batch.iter().map(|job| job.place.cost()).sum(), inference);
        let real = batch.iter().map(|job| job.tokens.ids.len()).sum();
        let padding = match self.classifier.profile().layout {
            Layout::Padded => batch.iter().map(|job| job.length).max().unwrap_or_default() * batch.len() - real,
            Layout::Varlen => 0,
        };
        self.series.observe_batch(batch.len(), real, padding, inference);
    }
}

fn answer(batch: Vec<Job>, logits: Vec<Vec<f32>>, run: Instant, done: Instant) {
    let batch_size = batch.len();
    for (job, logits) in batch.into_iter().zip(logits) {
        let Job { tokens, truncated, tokenizing, queued, place, reply, .. } = job;
        drop(place);
        let timeline = Timeline { tokenizing, queued, run, done, tokens: tokens.ids.len(), batch_size };
        reply.send(Ok(Outcome { logits, truncated, inference: done - run, timeline }));
    }
}
