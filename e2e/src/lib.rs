//! What the tests on a real API server and on a real node share.

pub mod api_server;
pub mod argocd;
pub mod cluster;
pub mod control_plane;
pub mod documentation;
mod harness;
mod load;
mod objects;
pub mod operator;
mod wait;

use std::path::PathBuf;

pub use harness::{Case, run_cases};
pub use load::Report;
pub use objects::{condition, name_of, namespace, ready, resource_versions, service, sweep};
pub use wait::{eventually, within};

/// Why a test failed, in words.
pub type Failure = String;
/// What a test returns.
pub type Outcome = Result<(), Failure>;

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Fails with a sentence unless a condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Turns any error into a failure.
pub fn failure(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}
