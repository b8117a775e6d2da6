//! The one way to an answer, whatever the protocol: cache, coalescing, queue, head, drift and series are passed here.
//! Protocols translate what came into a [`Text`] and a [`Call`], and a [`Prediction`] or a [`PredictError`] back.

mod batches;
mod error;
mod explain;
mod foreground;
mod occlusion;
mod prediction;
mod series;
mod served;
mod statistics;
mod text;
mod zero_shot;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use engine::{EngineError, Outcome, Rejection};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use model::{Digest, Verdict};
use uuid::Uuid;

use crate::{cache::Output, inference_log::InferenceLog, protocol::Protocol, traces};
pub use batches::{Batches, TooManyBatches};
pub use error::PredictError;
pub use explain::Explained;
use foreground::Foreground;
pub use prediction::Prediction;
pub use series::Series;
pub use served::ServedModel;
pub use statistics::{Statistics, Tally};
pub use text::{LONGEST_TEXT, Text, TextError};
pub use zero_shot::{Candidates, MOST_CANDIDATES};

/// Texts of one request that are with the engine at once: enough to fill every worker's batch.
const TEXTS_IN_FLIGHT: usize = 64;

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuses the text.
    Refuse,
    /// Lets it wait.
    Wait,
    /// As `Wait`, for a text of a batch job, which no caller waits for.
    WaitBehindRequests,
}

/// How and until when an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What it came by.
    pub protocol: Protocol,
    /// When the answer is of no use any more.
    pub deadline: Instant,
    /// What a full queue does.
    pub when_full: WhenFull,
}

/// Answers texts with the model that is served.
pub struct Predictor {
    served: ArcSwapOption<ServedModel>,
    series: Arc<Series>,
    of_engine: Arc<engine::Series>,
    /// Texts of requests that are with the engine.
    foreground: Foreground,
    log: Option<InferenceLog>,
    statistics: Statistics,
    request_timeout: Duration,
}

impl Predictor {
    /// One without a model, for requests that may take so long.
    #[must_use]
    pub fn new(request_timeout: Duration, series: Arc<Series>, of_engine: Arc<engine::Series>) -> Self {
        let (served, foreground) = (ArcSwapOption::empty(), Foreground::new());
        Self { served, series, of_engine, foreground, log: None, statistics: Statistics::default(), request_timeout }
    }

    /// Logs answers.
    #[must_use]
    pub fn with_log(self, log: Option<InferenceLog>) -> Self {
        Self { log, ..self }
    }

    /// The inference log, if there is one.
    #[must_use]
    pub fn log(&self) -> Option<&InferenceLog> {
        self.log.as_ref()
    }

    /// Serves a model from now on. Requests that have begun keep the one that they began with.
    pub fn serve(&self, model: Arc<ServedModel>) {
        self.served.store(Some(model));
        self.series.set_loaded();
    }

    /// Names the files of a model that serves, once they are hashed.
    pub fn identify(&self, model: &ServedModel, digest: Digest) {
        if model.digest.set(digest.to_string()).is_ok() {
            self.series.show_model(&model.name, digest);
        }
    }

    /// The model; `None` while it loads.
    #[must_use]
    pub fn served(&self) -> Option<Arc<ServedModel>> {
        self.served.load_full()
    }

    /// The model, unless it is still loading, which is counted as a rejection.
    pub fn model(&self) -> Result<Arc<ServedModel>, PredictError> {
        self.served().ok_or_else(|| {
            self.of_engine.reject_many(Rejection::NotReady, 1);
            PredictError::NotReady
        })
    }

    /// Whether texts of requests are with the engine, or were a moment ago.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.foreground.is_active(Instant::now())
    }

    /// What was done since the start.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Runs of the model since the start, each of one text or several.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.of_engine.runs()
    }

    /// Answers a text, by a run of the model unless an equal text has had one. Dropping the future withdraws it.
    pub async fn predict(&self, model: &ServedModel, text: Text, call: Call) -> Result<Prediction, PredictError> {
        let begun = Instant::now();
        let answer = self.answer(model, &text, call, begun).await;
        if answer.is_err() {
            self.statistics.failure(begun);
        }
        answer
    }

    async fn answer(
        &self,
        model: &ServedModel,
        text: &Text,
        call: Call,
        begun: Instant,
    ) -> Result<Prediction, PredictError> {
        let (output, ran) = self.output(model, text, call).await?;
        let output_at = Instant::now();
        let verdict = model.head.judge(&output.logits).ok_or_else(PredictError::broken_output)?;
        if let Some(drift) = &model.drift {
            drift.record(&verdict, text.characters);
        }
        let prediction = self.prediction(model, text, verdict, output, call);
        self.statistics.answer(begun, output_at, !ran);
        Ok(prediction)
    }

    /// The model's outputs for a text, kept ones where there are any, and whether it was run for it.
    async fn output(&self, model: &ServedModel, text: &Text, call: Call) -> Result<(Output, bool), PredictError> {
        let ran = AtomicBool::new(false);
        let run = || {
            ran.store(true, Ordering::Relaxed);
            self.run(model, text, call)
        };
        // Another caller's time is not this one's, and a full queue refuses only those who don't wait for a place.
        let own = |error: &PredictError| match error {
            PredictError::TimedOut(_) | PredictError::Overloaded { reason: Rejection::NoTime, .. } => true,
            PredictError::Overloaded { .. } => call.when_full != WhenFull::Refuse,
            _ => false,
        };
        let output = match &model.cache {
            Some(cache) => cache.answer(text.as_input(), run, own).await,
            None => run().await,
        };
        if let Err(PredictError::Overloaded { reason, .. }) = &output
            && !ran.load(Ordering::Relaxed)
        {
            // Refused with an equal one, which was counted as it tried.
            self.of_engine.reject_many(*reason, 1);
        }
        Ok((output?, ran.load(Ordering::Relaxed)))
    }

    /// Counts an answer, remembers it for feedback, and logs it.
    fn prediction(&self, model: &ServedModel, text: &Text, verdict: Verdict, output: Output, call: Call) -> Prediction {
        let Output { logits, truncated, inference, cached } = output;
        let characters = text.characters;
        self.series.observe(call.protocol, verdict.score, characters, truncated);
        // A job's texts are so many that they would push out all others.
        let id = match call.when_full {
            WhenFull::WaitBehindRequests => Uuid::new_v4(),
            WhenFull::Refuse | WhenFull::Wait => model.recent.issue(&verdict.label),
        };
        let prediction = Prediction { id, verdict, logits, characters, truncated, inference, cached };
        if let Some(log) = &self.log {
            log.note(|with_text| prediction.record(model, with_text.then_some(text), call.protocol));
        }
        prediction
    }

    /// Answers many texts in order, each as soon as there is a place for it. A text that can't be answered has an error
    /// of its own, any other error is one of all. Dropping the stream withdraws what is left.
    pub fn predict_each<'a>(
        &'a self,
        model: &'a ServedModel,
        texts: Vec<Text>,
        call: Call,
    ) -> impl Stream<Item = Result<Result<Prediction, PredictError>, PredictError>> + 'a {
        let answers = texts.into_iter().map(move |text| async move {
            match self.predict(model, text, call).await {
                Err(error) if !error.is_of_one_text() => Err(error),
                own => Ok(own),
            }
        });
        stream::iter(answers).buffered(TEXTS_IN_FLIGHT)
    }

    /// Runs many texts and returns their raw output in order. They are no predictions, so they are neither kept nor counted.
    /// A text that can't be tokenized has its own error, any other error ends all.
    pub async fn run_all(
        &self,
        model: &ServedModel,
        texts: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Result<Vec<f32>, PredictError>>, PredictError> {
        let _foreground = self.foreground.enter();
        // Every worker has some texts before it while it runs others; more would only keep predictions waiting.
        let in_flight = TEXTS_IN_FLIGHT.min(4 * model.threads);
        let outcomes = texts.into_iter().map(|text| async {
            match model.engine.classify_patiently(text.into(), deadline).await {
                Ok(Outcome { logits, timeline, .. }) => {
                    traces::add_text(&timeline);
                    Ok(Ok(logits))
                }
                Err(error) => match self.told(&error) {
                    own @ (PredictError::Unreadable(_) | PredictError::TooManyTokens { .. }) => Ok(Err(own)),
                    other => Err(other),
                },
            }
        });
        stream::iter(outcomes).buffered(in_flight).try_collect().await
    }

    async fn run(&self, model: &ServedModel, text: &Text, call: Call) -> Result<Output, PredictError> {
        let _foreground = (call.when_full != WhenFull::WaitBehindRequests).then(|| self.foreground.enter());
        let input = text.as_input().owned();
        let outcome = match call.when_full {
            WhenFull::Refuse => model.engine.classify(input, call.deadline).await,
            WhenFull::Wait | WhenFull::WaitBehindRequests => {
                model.engine.classify_patiently(input, call.deadline).await
            }
        };
        let Outcome { logits, truncated, inference, timeline } = outcome.map_err(|error| self.told(&error))?;
        traces::add_text(&timeline);
        self.statistics.run(&timeline);
        if !model.head.reads(&logits) {
            return Err(PredictError::broken_output());
        }
        Ok(Output { logits: logits.into(), truncated, inference, cached: false })
    }

    /// What a caller is told of the engine's error. A refusal is counted.
    fn told(&self, error: &EngineError) -> PredictError {
        let told = PredictError::of(error, self.request_timeout);
        if let PredictError::Overloaded { reason, .. } = told {
            self.of_engine.reject_many(reason, 1);
        }
        told
    }
}
