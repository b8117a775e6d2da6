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
pub mod facts;
#[cfg(test)]
mod fixtures;
pub mod http;
pub mod image;
mod kind;
pub mod leader;
mod lock;
pub mod metrics;
pub mod observe;
pub mod publish;
pub mod queue;
pub mod reference;
pub mod rollouts;
pub mod status;
pub mod validate;
pub mod verdict;
pub mod warnings;
pub mod watches;
