//! The `KubeSentiment` operator: turns a `SentimentService` into a hardened, observable service.
//!
//! [`controller`] is the table of contents.

pub mod api;
pub mod api_requests;
pub mod apply;
pub mod backoff;
pub mod build;
pub mod children;
pub mod cli;
pub mod controller;
mod crd_yaml;
pub mod dereference;
pub mod digests;
pub mod evictions;
pub mod facts;
#[cfg(test)]
mod fixtures;
mod hash;
pub mod image;
pub mod image_volumes;
mod lock;
mod memory;
pub mod metrics;
pub mod observe;
pub mod publish;
mod queue_metric;
pub mod reference;
pub mod rollouts;
pub mod runtime;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod validate;
pub mod verdict;
pub mod warnings;
pub mod watches;
