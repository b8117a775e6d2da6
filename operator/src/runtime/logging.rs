//! Log lines.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Form of the log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// Starts to write what passes a filter.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?);
    match format {
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => log.with_target(false).init(),
    }
    Ok(())
}
