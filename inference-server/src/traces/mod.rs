//! Traces: the caller's W3C trace context in logs and answers, and spans for a collector that speaks
//! OTLP over HTTP, when one is configured.

mod context;
mod export;
mod request;

pub use context::{PARENT, STATE, TraceContext};
pub use export::{Traces, TracesError};
pub use request::{RequestSpan, add_text};
