//! Settings of batch jobs.

use std::time::Duration;

use super::{ConfigError, Reader, Setting, Variable};

static ASYNC_BATCH_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_ASYNC_BATCH_ENABLED", "true", "Take batch jobs, which run in the background");
static ASYNC_BATCH_MAX_JOBS: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_MAX_JOBS",
    "1000",
    &(1..=10_000),
    "jobs",
    "Jobs that may be unfinished; one more is refused with 503",
);
static ASYNC_BATCH_PRIORITY_HIGH_LIMIT: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_PRIORITY_HIGH_LIMIT",
    "100",
    &(1..=10_000),
    "jobs",
    "Jobs of high priority that may wait",
);
static ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT",
    "500",
    &(1..=10_000),
    "jobs",
    "Jobs of medium priority that may wait",
);
static ASYNC_BATCH_PRIORITY_LOW_LIMIT: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_PRIORITY_LOW_LIMIT",
    "1000",
    &(1..=10_000),
    "jobs",
    "Jobs of low priority that may wait",
);
static ASYNC_BATCH_MAX_BATCH_SIZE: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_MAX_BATCH_SIZE",
    "1000",
    &(1..=10_000),
    "texts",
    "Texts of a job that are run at once, at most, when its caller sends no max_batch_size",
);
static ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS: Setting<Duration> = Setting::seconds(
    "MLOPS_ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS",
    "300",
    &(10..=3600),
    "Time that a job has when its caller sends no timeout_seconds",
);
static ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS: Setting<Duration> = Setting::seconds(
    "MLOPS_ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS",
    "60",
    &(1..=3600),
    "How often memory of expired jobs is given back when nobody asks for a job",
);
static ASYNC_BATCH_CACHE_TTL_SECONDS: Setting<Duration> = Setting::seconds(
    "MLOPS_ASYNC_BATCH_CACHE_TTL_SECONDS",
    "3600",
    &(1..=86_400),
    "How long a job that has ended is kept with its results",
);
static ASYNC_BATCH_RESULT_CACHE_MAX_SIZE: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_RESULT_CACHE_MAX_SIZE",
    "1000",
    &(1..=10_000),
    "jobs",
    "Jobs that have ended and are kept; one more takes the place of the oldest",
);
static ASYNC_BATCH_MAX_BYTES: Setting<usize> = Setting::count(
    "MLOPS_ASYNC_BATCH_MAX_BYTES",
    "67108864",
    &((8 << 20)..=(64 << 30)),
    "bytes",
    "Memory for the texts and results of all jobs",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 11] = [
    &ASYNC_BATCH_ENABLED.variable,
    &ASYNC_BATCH_MAX_JOBS.variable,
    &ASYNC_BATCH_PRIORITY_HIGH_LIMIT.variable,
    &ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT.variable,
    &ASYNC_BATCH_PRIORITY_LOW_LIMIT.variable,
    &ASYNC_BATCH_MAX_BATCH_SIZE.variable,
    &ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS.variable,
    &ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS.variable,
    &ASYNC_BATCH_CACHE_TTL_SECONDS.variable,
    &ASYNC_BATCH_RESULT_CACHE_MAX_SIZE.variable,
    &ASYNC_BATCH_MAX_BYTES.variable,
];

/// Jobs of each priority that may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Of high priority.
    pub high: usize,
    /// Of medium priority.
    pub medium: usize,
    /// Of low priority.
    pub low: usize,
}

/// Bounds and defaults of batch jobs.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// Jobs that may be unfinished at once, those that wait included.
    pub max_jobs: usize,
    /// Jobs that may wait.
    pub queue_limits: QueueLimits,
    /// Texts of a job that are run at once, at most, when its caller doesn't say.
    pub max_batch_size: usize,
    /// Time that a job has when its caller doesn't say.
    pub default_timeout: Duration,
    /// How often memory of expired jobs is given back when nobody asks for any job.
    pub cleanup_interval: Duration,
    /// How long a job that has ended is kept.
    pub time_to_live: Duration,
    /// Jobs that have ended and are kept; one more takes the place of the oldest.
    pub kept_jobs: usize,
    /// Memory for texts and results, in bytes.
    pub max_bytes: usize,
}

impl JobsConfig {
    /// Reads every setting of jobs; `None` when jobs are turned off.
    pub(super) fn read(read: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let enabled = read.required(&ASYNC_BATCH_ENABLED)?;
        let config = Self {
            max_jobs: read.required(&ASYNC_BATCH_MAX_JOBS)?,
            queue_limits: QueueLimits {
                high: read.required(&ASYNC_BATCH_PRIORITY_HIGH_LIMIT)?,
                medium: read.required(&ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT)?,
                low: read.required(&ASYNC_BATCH_PRIORITY_LOW_LIMIT)?,
            },
            max_batch_size: read.required(&ASYNC_BATCH_MAX_BATCH_SIZE)?,
            default_timeout: read.required(&ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS)?,
            cleanup_interval: read.required(&ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS)?,
            time_to_live: read.required(&ASYNC_BATCH_CACHE_TTL_SECONDS)?,
            kept_jobs: read.required(&ASYNC_BATCH_RESULT_CACHE_MAX_SIZE)?,
            // The largest job that a body can carry fits the least of these.
            max_bytes: read.required(&ASYNC_BATCH_MAX_BYTES)?,
        };
        Ok(enabled.then_some(config))
    }
}
