//! What a batch job is: its texts, its state, and what came out.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::texts::Texts;
use model::Verdict;

use crate::{clock, config::QueueLimits, predict::Prediction};

/// What is kept of a prediction until its job's results are fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// By which feedback names it.
    pub id: Uuid,
    /// Label and score.
    pub verdict: Verdict,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// How long the model ran for it; zero when the answer was kept from before.
    pub inference: Duration,
    /// Whether the answer was kept from before the question.
    pub cached: bool,
}

impl From<Prediction> for Answer {
    fn from(prediction: Prediction) -> Self {
        let Prediction { id, verdict, truncated, inference, cached, .. } = prediction;
        Self { id, verdict, truncated, inference, cached }
    }
}

/// How urgent a job is. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BatchJobPriority)]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    Medium,
    /// When nothing else waits.
    Low,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The name in requests, answers and series.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// Jobs of it that may wait.
    #[must_use]
    pub fn limit(self, limits: &QueueLimits) -> usize {
        match self {
            Self::High => limits.high,
            Self::Medium => limits.medium,
            Self::Low => limits.low,
        }
    }

    /// The priority of a name; `None` for any other.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == name)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BatchJobState)]
pub enum Status {
    /// No text of it has been run yet.
    Pending,
    /// Its texts are being run.
    Processing,
    /// Every text was run, and at least one has an answer.
    Completed,
    /// Every text was run, and none has an answer.
    Failed,
    /// Its caller took it back.
    Cancelled,
    /// Its time was up before every text was run.
    Expired,
}

impl Status {
    /// The name in answers and series.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Processing)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point in time on both clocks: one to measure by, one to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// On the clock that never goes back.
    pub instant: Instant,
    /// Seconds since 1970.
    pub unix: f64,
}

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), unix: clock::unix_seconds() }
    }
}

/// A text of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What is classified.
    pub content: String,
    /// Its length in characters.
    pub characters: usize,
}

/// Why a text has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable name for it.
    pub code: &'static str,
    /// A sentence for the reader.
    pub sentence: Arc<str>,
}

impl Failure {
    /// A failure of this code.
    #[must_use]
    pub fn new(code: &'static str, sentence: &str) -> Self {
        // Some of the model's sentences quote whole tensors.
        let end = sentence.floor_char_boundary(LONGEST_SENTENCE);
        Self { code, sentence: sentence[..end].into() }
    }
}

/// A text of a job that can't be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its length in characters.
    pub characters: usize,
    /// Why.
    pub failure: Failure,
}

/// What a caller asks for.
#[derive(Debug)]
pub struct Submission {
    /// The texts, and why others can't be run; at least one of them can.
    pub texts: Vec<Result<Text, Refused>>,
    /// How urgent they are.
    pub priority: Priority,
    /// Texts of the job that are run at once, at most.
    pub max_batch_size: usize,
    /// Time from now after which the job expires.
    pub timeout: Duration,
}

/// What came out for one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Names this one prediction.
    pub prediction_id: Uuid,
    /// Length of the text in characters.
    pub characters: usize,
    /// The answer, or why there is none.
    pub outcome: Result<Answer, Failure>,
}

/// The state of a job as its caller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Names the job.
    pub id: Uuid,
    /// Where it is in its life.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// Texts in it.
    pub total: usize,
    /// Texts that were run, the failed ones included.
    pub processed: usize,
    /// Texts without an answer.
    pub failed: usize,
    /// When it was taken, in seconds since 1970.
    pub created_at: f64,
    /// When its first text was run.
    pub started_at: Option<f64>,
    /// When it came to its end, whichever that was.
    pub completed_at: Option<f64>,
    /// Seconds until it will have been completed, as far as one can tell; 0 at its end.
    pub estimated_completion_seconds: u64,
    /// Why it has failed, expired or been cancelled.
    pub error: Option<Arc<str>>,
}

/// Longest sentence that is kept about a text, in bytes.
const LONGEST_SENTENCE: usize = 300;

/// A job in the store.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) priority: Priority,
    pub(super) status: Status,
    pub(super) created: Moment,
    pub(super) started: Option<Moment>,
    pub(super) ended: Option<Moment>,
    pub(super) timeout: Duration,
    pub(super) total: usize,
    pub(super) processed: usize,
    pub(super) failed: usize,
    pub(super) error: Option<Arc<str>>,
    /// Why the last text that has no answer has none.
    failure: Option<Failure>,
    pub(super) texts: Texts,
    pub(super) in_flight: usize,
    max_in_flight: usize,
    slots: Vec<Option<Item>>,
    /// Everything that came out; only of a job that was run to its end.
    pub(super) items: Option<Arc<[Item]>>,
    /// Bytes of the texts and of room for what comes out of them.
    unfinished_bytes: usize,
    /// Bytes of the sentences about failed texts.
    sentence_bytes: usize,
}

impl Job {
    pub(super) fn new(submission: Submission, now: Moment) -> Self {
        let Submission { texts: rows, priority, max_batch_size, timeout } = submission;
        let total = rows.len();
        let (mut texts, mut refused) = (Vec::with_capacity(total), Vec::new());
        for (index, row) in rows.into_iter().enumerate() {
            match row {
                Ok(text) => texts.push((index, text)),
                Err(Refused { characters, failure }) => refused.push((index, characters, failure)),
            }
        }
        let texts = Texts::new(texts);
        let mut job = Self {
            priority,
            status: Status::Pending,
            created: now,
            started: None,
            ended: None,
            timeout,
            total,
            processed: 0,
            failed: 0,
            error: None,
            failure: None,
            in_flight: 0,
            max_in_flight: max_batch_size.max(1),
            slots: Vec::new(),
            items: None,
            // What will come out is counted from the start, so that a job that was taken can always end.
            unfinished_bytes: texts.bytes() + total * size_of::<Option<Item>>(),
            texts,
            sentence_bytes: 0,
        };
        for (index, characters, failure) in refused {
            job.keep(index, characters, Err(failure));
        }
        job
    }

    pub(super) fn deadline(&self) -> Instant {
        self.created.instant + self.timeout
    }

    /// Whether a text of it may be run now.
    pub(super) fn has_turn(&self) -> bool {
        self.texts.left() > 0 && self.in_flight < self.max_in_flight
    }

    /// Texts that have no outcome yet.
    pub(super) fn remaining(&self) -> usize {
        self.total - self.processed
    }

    /// The next text and its place among all.
    pub(super) fn take_text(&mut self) -> Option<(usize, Text)> {
        let taken = self.texts.take()?;
        self.in_flight += 1;
        Some(taken)
    }

    /// Keeps what came out for a text that was taken.
    pub(super) fn record(&mut self, index: usize, characters: usize, outcome: Result<Answer, Failure>) {
        self.in_flight -= 1;
        self.keep(index, characters, outcome);
    }

    fn keep(&mut self, index: usize, characters: usize, outcome: Result<Answer, Failure>) {
        let outcome = outcome.map_err(|failure| {
            self.failed += 1;
            self.shared(failure)
        });
        self.processed += 1;
        if self.slots.is_empty() {
            self.slots.resize_with(self.total, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            let prediction_id = outcome.as_ref().map_or_else(|_| Uuid::new_v4(), |answer| answer.id);
            *slot = Some(Item { prediction_id, characters, outcome });
        }
    }

    /// One copy of a sentence for texts that fail alike, which all do when the model does.
    fn shared(&mut self, failure: Failure) -> Failure {
        match &self.failure {
            Some(known) if *known == failure => known.clone(),
            _ => {
                self.sentence_bytes += failure.sentence.len();
                self.failure = Some(failure.clone());
                failure
            }
        }
    }

    /// How the job ends when each of its texts was run: it has failed when no text has an answer.
    pub(super) fn verdict(&self) -> (Status, Option<Arc<str>>) {
        match &self.failure {
            Some(Failure { sentence, .. }) if self.failed == self.total => {
                let error = format!("no text has an answer; the last error was: {sentence}");
                (Status::Failed, Some(error.into()))
            }
            _ => (Status::Completed, None),
        }
    }

    /// Brings the job to its end. The texts are dropped, and so is what came out unless it is all.
    pub(super) fn end(&mut self, status: Status, error: Option<Arc<str>>, now: Moment) {
        self.texts = Texts::default();
        self.failure = None;
        let slots = std::mem::take(&mut self.slots);
        self.items = slots.into_iter().collect();
        if !matches!(status, Status::Completed | Status::Failed) {
            self.items = None;
            self.sentence_bytes = 0;
        }
        self.status = status;
        self.error = error;
        self.ended = Some(now);
    }

    /// Memory that is counted for the job.
    pub(super) fn bytes(&self) -> usize {
        let held = match &self.items {
            Some(items) => size_of_val(&**items),
            None if self.status.is_final() => 0,
            None => self.unfinished_bytes,
        };
        size_of::<Self>() + held + self.sentence_bytes
    }
}
