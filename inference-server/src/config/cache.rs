//! Answers that are kept in memory.

use super::{ConfigError, Reader, Setting, Variable};

static PREDICTION_CACHE_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_PREDICTION_CACHE_ENABLED", "true", "Keep answers in memory and share runs of equal texts");
static PREDICTION_CACHE_MAX_SIZE: Setting<usize> = Setting::count(
    "MLOPS_PREDICTION_CACHE_MAX_SIZE",
    "1000",
    &(1..=1_000_000),
    "answers",
    "Answers that are kept in memory",
);
static PREDICTION_CACHE_MAX_BYTES: Setting<usize> = Setting::count(
    "MLOPS_PREDICTION_CACHE_MAX_BYTES",
    "67108864",
    &((1 << 20)..=(64 << 30)),
    "bytes",
    "Memory for the answers that are kept, whatever their number",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 3] =
    [&PREDICTION_CACHE_ENABLED.variable, &PREDICTION_CACHE_MAX_SIZE.variable, &PREDICTION_CACHE_MAX_BYTES.variable];

/// Reads how many answers are kept, where any are, and the bytes for them.
pub(super) fn read(read: &Reader<'_>) -> Result<(Option<usize>, usize), ConfigError> {
    let is_on = read.required(&PREDICTION_CACHE_ENABLED)?;
    let entries = read.required(&PREDICTION_CACHE_MAX_SIZE)?;
    Ok((is_on.then_some(entries), read.required(&PREDICTION_CACHE_MAX_BYTES)?))
}
