//! What can be wrong with a job: codes E7xxx.

use axum::http::{HeaderValue, StatusCode};
use uuid::Uuid;

use crate::{
    http::ApiError,
    jobs::{Status, Unavailable},
};

/// Longest part of an id that is repeated to its caller.
const LONGEST_ID: usize = 64;

/// Why there is no answer about a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Jobs are turned off.
    #[error("batch jobs are turned off by MLOPS_ASYNC_BATCH_ENABLED; POST /predict/batch answers at once")]
    Disabled,
    /// No such job is held by this process.
    #[error("this server holds no job {0:.LONGEST_ID$}: it was given to another, or has ended too long ago")]
    Unknown(String),
    /// The job has not come to its end, or to none with results.
    #[error("job {id} is {status} and has no results{}", if .status.is_final() { "" } else { " yet" })]
    NoResults {
        /// The job.
        id: Uuid,
        /// What it is.
        status: Status,
    },
    /// The job has ended.
    #[error("job {id} is {status} already")]
    NotCancellable {
        /// The job.
        id: Uuid,
        /// What it is.
        status: Status,
    },
    /// A bound is reached.
    #[error("{0}")]
    Refused(String),
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl JobError {
    pub(super) fn no_results(id: Uuid, why: Unavailable) -> Self {
        match why {
            Unavailable::Unknown => Self::Unknown(id.to_string()),
            Unavailable::Is(status) => Self::NoResults { id, status },
        }
    }

    pub(super) fn not_cancellable(id: Uuid, why: Unavailable) -> Self {
        match why {
            Unavailable::Unknown => Self::Unknown(id.to_string()),
            Unavailable::Is(status) => Self::NotCancellable { id, status },
        }
    }

    /// Version 1 answered 404 for a job in the wrong state too, and its clients look for that.
    pub(in crate::http) fn status(&self) -> StatusCode {
        match self {
            Self::Disabled | Self::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown(_) | Self::NoResults { .. } | Self::NotCancellable { .. } => StatusCode::NOT_FOUND,
        }
    }

    pub(in crate::http) fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "E7001",
            Self::NoResults { .. } => "E7002",
            Self::NotCancellable { .. } => "E7003",
            Self::Refused(_) => "E7004",
            Self::Disabled => "E7005",
        }
    }

    pub(in crate::http) fn message(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "Batch job not found",
            Self::NoResults { .. } => "Batch job has no results",
            Self::NotCancellable { .. } => "Batch job cannot be cancelled",
            Self::Refused(_) => "Too many batch jobs",
            Self::Disabled => "Batch jobs are not available",
        }
    }

    /// Seconds after which another try may succeed. Jobs are done in seconds, not at once.
    pub(in crate::http) fn retry_after(&self) -> Option<HeaderValue> {
        matches!(self, Self::Refused(_)).then_some(HeaderValue::from_static("5"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let id = Uuid::nil();
        let no_results = |status| JobError::NoResults { id, status }.to_string();
        assert!(no_results(Status::Pending).ends_with("is pending and has no results yet"));
        assert!(no_results(Status::Cancelled).ends_with("is cancelled and has no results"));
        let long = JobError::Unknown("é".repeat(1000)).to_string();
        assert!(long.starts_with(&format!("this server holds no job {}:", "é".repeat(LONGEST_ID))), "{long}");
    }
}
