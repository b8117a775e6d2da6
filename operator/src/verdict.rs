//! How a service is doing, as a step or a check finds it: what [`crate::status`] makes conditions of.

use crate::api::{PartReason, Reason};

/// Why a service is ready, or isn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The class.
    pub reason: Reason,
    /// The cause in one sentence: the words of the part that failed.
    pub message: String,
}

impl Verdict {
    /// A verdict in these words.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// How a part of a service beside its pods is doing: its autoscaler, its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether it does its work; `None` as long as nobody can tell.
    pub holds: Option<bool>,
    /// The class.
    pub reason: PartReason,
    /// The cause in one sentence.
    pub message: String,
}

impl Part {
    /// It does its work.
    #[must_use]
    pub fn holds(reason: PartReason, message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason, message: message.into() }
    }

    /// It doesn't.
    #[must_use]
    pub fn fails(reason: PartReason, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    /// It is too early to tell.
    #[must_use]
    pub fn waits(message: impl Into<String>) -> Self {
        Self { holds: None, reason: PartReason::Waiting, message: message.into() }
    }
}
