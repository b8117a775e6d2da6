//! Limits of connections and of what clients send and read.

use std::time::Duration;

use super::{ConfigError, Reader, seconds, within};

/// How many connections may be open, and how long a client may keep one waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Connections that may be open; one more is answered 503 unless it is a probe's.
    pub most: usize,
    /// From a request's first byte, or from the connection's start, to the end of its head.
    pub head: Duration,
    /// Between two parts of a body.
    pub body: Duration,
    /// Between a response and the next request.
    pub keep_alive: Duration,
    /// Between two parts of a response that the client takes.
    pub write: Duration,
}

impl ConnectionConfig {
    pub(super) fn read(read: &Reader<'_>) -> Result<Self, ConfigError> {
        let time = |name| read.required(name, |value| seconds(value, 1, 3600));
        Ok(Self {
            most: read.required("MLOPS_MAX_CONNECTIONS", |value| within(value, 1, 1_000_000))?,
            head: time("MLOPS_HEADER_TIMEOUT")?,
            body: time("MLOPS_BODY_TIMEOUT")?,
            keep_alive: time("MLOPS_KEEP_ALIVE_TIMEOUT")?,
            write: time("MLOPS_WRITE_TIMEOUT")?,
        })
    }
}
