//! Why a child could not be applied.

use kube::core::Status;
use thiserror::Error;

use crate::api::Reason;

/// Why a child could not be applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// An object of that name exists, and isn't a child of this service.
    #[error(
        "{kind} {name} exists already and doesn't belong to this SentimentService: delete it, or choose another name for one of the two"
    )]
    NotOurs {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The child of an earlier service of the same name is still being removed.
    #[error("waiting for {kind} {name} of the earlier SentimentService of this name to be removed")]
    Leftover {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Another declarative tool applies a field that we set.
    #[error("another manager applies the same fields of {kind} {name}: {conflicts}: remove them there")]
    Contested {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Managers and fields, in the API server's words.
        conflicts: String,
    },
    /// The namespace is going, and takes everything along.
    #[error("namespace {0} is being terminated")]
    Terminating(String),
    /// The API server refused a request.
    #[error("{kind} {name} was refused: {}", status.message)]
    Refused {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's answer.
        status: Box<Status>,
    },
    /// The API server could not be asked, or had a fault of its own.
    #[error("{kind} {name} could not be applied: {source}")]
    Unreachable {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// The condition reason, or `None` where a repetition will most likely do.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { status, .. } if status.message.contains("exceeded quota") => Some(Reason::QuotaExceeded),
            Self::NotOurs { .. } | Self::Contested { .. } | Self::Refused { .. } => Some(Reason::ApplyFailed),
            Self::Leftover { .. } | Self::Terminating(_) | Self::Unreachable { .. } => None,
        }
    }
}
