//! Log lines: JSON for collectors, text for people. Texts that callers send are never logged.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::LogFormat;

/// Sends log lines to standard output from here on. Only the first call of a process counts.
pub fn start(level: Level, format: LogFormat) {
    // ONNX Runtime tells much at the info level that only its own developers need.
    let filter = Targets::new().with_default(level).with_target("ort", level.min(Level::WARN));
    let layer = tracing_subscriber::fmt::layer();
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => layer.with_target(false).with_ansi(io::stdout().is_terminal()).boxed(),
    };
    // An error means that a test in this process has set one up already.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
