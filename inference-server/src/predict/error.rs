//! Why there is no answer, in terms of no protocol.

use std::time::Duration;

use engine::{EngineError, Full, Rejection, TokenizeError};
use model::NO_VERDICT;

/// Why a text has no answer; each reads as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// The model is still loading.
    #[error("the model is still loading")]
    NotReady,
    /// The process is about to end.
    #[error("the server is stopping")]
    Stopping,
    /// The queue takes no more for now.
    #[error("{detail}")]
    Overloaded {
        /// Which bound was reached, for the series.
        reason: Rejection,
        /// Which bound was reached.
        detail: String,
        /// Seconds in which what waits will be done.
        retry_after: u64,
    },
    /// The request took longer than the settings allow.
    #[error("the request took longer than {0} seconds")]
    TimedOut(u64),
    /// The text makes no tokens.
    #[error("{0}")]
    Unreadable(String),
    /// The text is longer than what the model reads at once, and the settings refuse such texts.
    #[error(
        "the text has {tokens} tokens, and the model reads at most {most}; MLOPS_LONG_TEXTS=cut reads the start of such \
         texts, and windows all of them"
    )]
    TooManyTokens {
        /// Tokens of the text, special ones included.
        tokens: usize,
        /// Tokens that are read.
        most: usize,
    },
    /// The model doesn't say whether one text follows from another.
    #[error(
        "candidate labels need a model of natural language inference, which has a label \"entailment\" and one for its \
         opposite; this one has none"
    )]
    NoEntailment,
    /// The model failed.
    #[error("{0}")]
    Failed(String),
}

impl PredictError {
    /// What the engine's error means to a caller who may wait for so long.
    pub(super) fn of(error: &EngineError, timeout: Duration) -> Self {
        match error {
            EngineError::Expired => Self::TimedOut(timeout.as_secs()),
            EngineError::Full(refusal) => Self::Overloaded {
                reason: rejection(refusal.cause),
                detail: error.to_string(),
                retry_after: whole_seconds(refusal.drained_in),
            },
            EngineError::Tokenizer(error) => Self::unreadable(error),
            EngineError::Model(_) => Self::Failed(error.to_string()),
            EngineError::Stopped => Self::Stopping,
        }
    }

    /// That a text has no tokens.
    #[must_use]
    pub fn unreadable(error: &TokenizeError) -> Self {
        match *error {
            TokenizeError::TooLong { tokens, most } => Self::TooManyTokens { tokens, most },
            TokenizeError::Text(_) => Self::Unreadable(format!("the text can't be tokenized: {error}")),
        }
    }

    /// That the model's numbers can't be read.
    #[must_use]
    pub fn broken_output() -> Self {
        Self::Failed(NO_VERDICT.to_owned())
    }

    /// Whether it is about a text, so that others of its request can have an answer all the same.
    #[must_use]
    pub fn is_of_one_text(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::TooManyTokens { .. } | Self::Failed(_))
    }
}

fn rejection(cause: Full) -> Rejection {
    match cause {
        Full::Places { .. } => Rejection::QueueFull,
        Full::Wait { .. } => Rejection::QueueWait,
        Full::Time { .. } => Rejection::NoTime,
    }
}

/// Rounded up: a caller that comes back earlier would be refused again.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}
