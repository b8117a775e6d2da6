//! The queue and the batches.

use std::time::Duration;

use engine::EngineConfig;

use super::{ConfigError, Reader, Setting, Variable};

static THREADS: Setting<usize> = Setting::count(
    "MLOPS_THREADS",
    "",
    &(0..=256),
    "",
    "Inference threads; default (or 0) one per usable CPU, cgroup quota counted",
)
.also("MLOPS_ONNX_INTRA_OP_NUM_THREADS");
static MAX_BATCH_TOKENS: Setting<usize> = Setting::count(
    "MLOPS_MAX_BATCH_TOKENS",
    "768",
    &(16..=(1 << 20)),
    "tokens",
    "Most tokens of one batch, padding included; batches are of half as many, but for a quantized model with many waiting",
);
static MAX_BATCH_SIZE: Setting<usize> =
    Setting::count("MLOPS_MAX_BATCH_SIZE", "32", &(1..=1024), "texts", "Texts of one batch");
static QUEUE_CAPACITY: Setting<usize> = Setting::count(
    "MLOPS_QUEUE_CAPACITY",
    "256",
    &(1..=100_000),
    "texts",
    "Texts of up to 64 tokens, and longer ones, that may wait; one more is refused with 503",
);
static MAX_QUEUE_WAIT_MS: Setting<Duration> = Setting::milliseconds(
    "MLOPS_MAX_QUEUE_WAIT_MS",
    "2000",
    &(1..=3_600_000),
    "Longest that a text may have to wait for its turn; one that would wait longer is refused with 503",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 5] = [
    &THREADS.variable,
    &MAX_BATCH_TOKENS.variable,
    &MAX_BATCH_SIZE.variable,
    &QUEUE_CAPACITY.variable,
    &MAX_QUEUE_WAIT_MS.variable,
];

/// Reads the settings of the engine.
pub(super) fn read(read: &Reader<'_>) -> Result<EngineConfig, ConfigError> {
    Ok(EngineConfig {
        threads: read.optional(&THREADS)?.filter(|threads| *threads > 0),
        max_batch_tokens: read.required(&MAX_BATCH_TOKENS)?,
        max_batch_size: read.required(&MAX_BATCH_SIZE)?,
        queue_capacity: read.required(&QUEUE_CAPACITY)?,
        max_queue_wait: read.required(&MAX_QUEUE_WAIT_MS)?,
    })
}
