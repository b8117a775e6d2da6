//! `kubectl sentiment`: what a person asks of `SentimentServices`. [`cli`] is the table of contents.

pub mod ask;
pub mod cli;
pub mod cluster;
pub mod convert;
pub mod diff;
pub mod error;
pub mod input;
pub mod lint;
pub mod output;
pub mod render;
pub mod report;
pub mod schema;
pub mod settings;
pub mod status;
