//! Wall-clock time as the API shows it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, to a microsecond.
#[must_use]
pub fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1e6).round() / 1e6
}

/// Seconds since 1970, without a part.
#[must_use]
pub fn whole_unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
