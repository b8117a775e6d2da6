//! The `KubeSentiment` operator: turns a `SentimentService` into a hardened, observable service.
//!
//! [`controller`] is the table of contents.

pub mod api;
pub mod api_requests;
pub mod apply;
pub mod backoff;
pub mod build;
pub mod cli;
pub mod controller;
pub mod dereference;
pub mod evictions;
#[cfg(test)]
mod fixtures;
pub mod image;
mod kind;
mod lock;
pub mod metrics;
pub mod observe;
mod queue_metric;
pub mod reference;
pub mod report;
pub mod rollouts;
pub mod runtime;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod validate;
pub mod watches;
