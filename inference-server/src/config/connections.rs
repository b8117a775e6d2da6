//! Limits of connections and of what clients send and read.

use std::time::Duration;

use super::{ConfigError, Reader, Setting, Variable};

static MAX_CONNECTIONS: Setting<usize> = Setting::count(
    "MLOPS_MAX_CONNECTIONS",
    "8192",
    &(1..=1_000_000),
    "connections",
    "Connections that may be open; one more is refused with 503, unless it is a probe's",
);
static HEADER_TIMEOUT: Setting<Duration> = Setting::seconds(
    "MLOPS_HEADER_TIMEOUT",
    "10",
    &(1..=3600),
    "Longest time from a request's start to the end of its head",
);
static BODY_TIMEOUT: Setting<Duration> =
    Setting::seconds("MLOPS_BODY_TIMEOUT", "10", &(1..=3600), "Longest wait for the next part of a body");
static KEEP_ALIVE_TIMEOUT: Setting<Duration> = Setting::seconds(
    "MLOPS_KEEP_ALIVE_TIMEOUT",
    "75",
    &(1..=3600),
    "Longest time that a connection is kept between requests",
);
static WRITE_TIMEOUT: Setting<Duration> = Setting::seconds(
    "MLOPS_WRITE_TIMEOUT",
    "30",
    &(1..=3600),
    "Longest wait for a client to take the next part of a response",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 5] = [
    &MAX_CONNECTIONS.variable,
    &HEADER_TIMEOUT.variable,
    &BODY_TIMEOUT.variable,
    &KEEP_ALIVE_TIMEOUT.variable,
    &WRITE_TIMEOUT.variable,
];

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
        Ok(Self {
            most: read.required(&MAX_CONNECTIONS)?,
            head: read.required(&HEADER_TIMEOUT)?,
            body: read.required(&BODY_TIMEOUT)?,
            keep_alive: read.required(&KEEP_ALIVE_TIMEOUT)?,
            write: read.required(&WRITE_TIMEOUT)?,
        })
    }
}
