//! Why a call has no answer, and the status that says so.

use std::time::Duration;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    access::Exceeded,
    http::error::quoted,
    predict::{PredictError, TooManyBatches},
};

/// Why a call has no answer; each reads as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The message isn't what the model takes.
    #[error("{0}")]
    Invalid(String),
    /// There is no prediction of one text.
    #[error("text {index}: {error}")]
    AtText {
        /// The text's place among all.
        index: usize,
        /// Why.
        error: PredictError,
    },
    /// The call's time is up.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// There is no prediction at all.
    #[error(transparent)]
    Predict(PredictError),
    /// A model of another name.
    #[error("there is no model {} here", quoted(.0))]
    UnknownModel(String),
    /// A version that the model doesn't have.
    #[error("the model has the version 1 only, not {}", quoted(.0))]
    UnknownVersion(String),
    /// Too many texts are being answered.
    #[error(transparent)]
    TooManyBatches(#[from] TooManyBatches),
    /// There is no memory for the message.
    #[error("{0}")]
    NoRoom(String),
    /// The message is larger than any that is taken.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// The client takes too long over the message.
    #[error("the message did not come within {0} seconds")]
    TooSlow(u64),
    /// All places for connections are taken.
    #[error("as many connections are open as MLOPS_MAX_CONNECTIONS allows")]
    TooManyConnections,
    /// The API key asks for more than its limits allow.
    #[error("the key asks for more than its limits allow; try again in {} s", .0.retry_after)]
    KeyLimited(Exceeded),
    /// The API key is missing or wrong.
    #[error("the metadata x-api-key, or authorization with a Bearer token, is missing or wrong")]
    Unauthorized,
}

impl From<PredictError> for CallError {
    fn from(error: PredictError) -> Self {
        // The client's own deadline may have been the earlier one.
        if matches!(error, PredictError::TimedOut(_)) { Self::DeadlinePassed } else { Self::Predict(error) }
    }
}

impl CallError {
    /// That a message isn't what the model takes.
    pub(super) fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }

    /// An error with the place of the text that it is about, if it is about one.
    pub(super) fn at(index: usize, error: PredictError) -> Self {
        if error.is_of_one_text() { Self::AtText { index, error } } else { error.into() }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::AtText { error, .. } | Self::Predict(error) => match error {
                PredictError::Unreadable(_) | PredictError::TooManyTokens { .. } | PredictError::NoEntailment => {
                    Code::InvalidArgument
                }
                // What clients' retry policies name, KServe's among them: gRPC defines it as the one to try again.
                // RESOURCE_EXHAUSTED is left to what isn't better in a moment, such as a size or a caller's own limit.
                PredictError::NotReady | PredictError::Stopping | PredictError::Overloaded { .. } => Code::Unavailable,
                PredictError::TimedOut(_) => Code::DeadlineExceeded,
                PredictError::Failed(_) => Code::Internal,
            },
            Self::DeadlinePassed | Self::TooSlow(_) => Code::DeadlineExceeded,
            Self::UnknownModel(_) | Self::UnknownVersion(_) => Code::NotFound,
            Self::TooManyBatches(_) | Self::NoRoom(_) | Self::TooManyConnections => Code::Unavailable,
            Self::TooLarge(_) | Self::KeyLimited(_) => Code::ResourceExhausted,
            Self::Unauthorized => Code::Unauthenticated,
        }
    }

    /// Seconds after which another try may succeed.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Predict(PredictError::Overloaded { retry_after, .. }) => Some(*retry_after),
            Self::KeyLimited(exceeded) => Some(exceeded.retry_after),
            error => (error.code() == Code::Unavailable).then_some(1),
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let (code, sentence) = (error.code(), error.to_string());
        let Some(seconds) = error.retry_after() else { return Self::new(code, sentence) };
        let mut metadata = MetadataMap::new();
        metadata.insert("retry-after", MetadataValue::from(seconds));
        // The one that clients of gRPC heed by themselves.
        metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(seconds.saturating_mul(1000)));
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
        Self::with_error_details_and_metadata(code, sentence, details, metadata)
    }
}

/// A code's name as gRPC's documentation spells it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether a code is an error of the server, by OpenTelemetry's conventions.
pub(super) fn is_servers(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

#[cfg(test)]
mod tests {
    use engine::Rejection;

    use super::*;

    #[test]
    fn an_overload_says_when_to_come_back() {
        let (reason, detail) = (Rejection::QueueFull, "256 texts are waiting already".to_owned());
        let error = CallError::at(3, PredictError::Overloaded { reason, detail, retry_after: 2 });
        let status = Status::from(error);
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "256 texts are waiting already"));
        assert_eq!(status.metadata().get("retry-after").unwrap(), "2");
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "2000");
        let delay = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_error_of_one_text_names_it() {
        let status = Status::from(CallError::at(3, PredictError::TooManyTokens { tokens: 700, most: 512 }));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("text 3: the text has 700 tokens"), "{}", status.message());
        assert_eq!(CallError::at(3, PredictError::Failed("no".to_owned())).code(), Code::Internal);
        assert_eq!(CallError::at(3, PredictError::TimedOut(30)), CallError::DeadlinePassed);
        assert_eq!(CallError::at(3, PredictError::Stopping).to_string(), "the server is stopping");
    }
}
