//! Why a text has no tokens, or no outcome.

use std::time::Duration;

/// Why a text has no tokens; each reads as the end of "the text can't be read: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenizeError {
    /// The tokenizer can't do with it.
    #[error("{0}")]
    Text(String),
    /// It is longer than what the model reads at once, and such texts are to be refused.
    #[error("it has {tokens} tokens, and the model reads at most {most}")]
    TooLong {
        /// Tokens of the text, special ones included.
        tokens: usize,
        /// Tokens that are read.
        most: usize,
    },
}

impl From<String> for TokenizeError {
    fn from(sentence: String) -> Self {
        Self::Text(sentence)
    }
}

/// Why a text has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The text would have to wait for too long.
    #[error(transparent)]
    Full(#[from] Refusal),
    /// The deadline passed before the model ran.
    #[error("the request's time was up before the model ran")]
    Expired,
    /// The text can't be tokenized.
    #[error("the text can't be tokenized: {0}")]
    Tokenizer(#[from] TokenizeError),
    /// The model failed on the text.
    #[error("the model failed: {0}")]
    Model(String),
    /// The engine is shutting down.
    #[error("the engine is stopping")]
    Stopped,
}

/// A text that isn't taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    /// Which bound it would cross.
    pub cause: Full,
    /// Time in which what is here now will be done.
    pub drained_in: Duration,
}

/// A bound of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many texts wait as may wait.
    #[error("{capacity} texts are waiting already")]
    Places {
        /// Texts that may wait.
        capacity: usize,
    },
    /// The text's turn would come too late.
    #[error(
        "the text would wait {:.1} s for its turn, more than the {:.1} s that MLOPS_MAX_QUEUE_WAIT_MS allows",
        .wait.as_secs_f32(), .most.as_secs_f32()
    )]
    Wait {
        /// How long it would wait.
        wait: Duration,
        /// How long it may wait.
        most: Duration,
    },
    /// The text wouldn't be done before the request's time is up.
    #[error("the text would take {:.1} s, its wait included, and the request has {:.1} s left", .needed.as_secs_f32(), .left.as_secs_f32())]
    Time {
        /// From now to its outcome.
        needed: Duration,
        /// From now to its deadline.
        left: Duration,
    },
}
