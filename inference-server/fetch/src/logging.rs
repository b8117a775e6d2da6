//! Log lines: JSON for collectors, text for people, as the server has them.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Sends log lines to standard output from here on: at the level of `MODEL_FETCH_LOG`, as `MODEL_FETCH_LOG_FORMAT` says, which is
/// text at a terminal and JSON elsewhere. Only the first call of a process counts.
pub fn start() {
    let level = env::var("MODEL_FETCH_LOG").unwrap_or_default();
    let level = match level.to_ascii_lowercase().as_str() {
        "warning" => tracing::Level::WARN,
        level => level.parse().unwrap_or(tracing::Level::INFO),
    };
    // The libraries tell of each request, with addresses in which signatures may be.
    let filter = Targets::new().with_target("model_fetch", level);
    let is_text = match env::var("MODEL_FETCH_LOG_FORMAT").as_deref() {
        Ok("text") => true,
        Ok("json") => false,
        _ => io::stdout().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer();
    let layer = if is_text {
        layer.with_target(false).with_ansi(io::stdout().is_terminal()).boxed()
    } else {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
