//! Settings of batch jobs.

use std::time::Duration;

use super::{ConfigError, Reader, parse_bool, seconds, within};

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
        let enabled = read.required("MLOPS_ASYNC_BATCH_ENABLED", parse_bool)?;
        let config = Self {
            max_jobs: read.required("MLOPS_ASYNC_BATCH_MAX_JOBS", |v| within(v, 1, 10_000))?,
            queue_limits: QueueLimits {
                high: read.required("MLOPS_ASYNC_BATCH_PRIORITY_HIGH_LIMIT", |v| within(v, 1, 10_000))?,
                medium: read.required("MLOPS_ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT", |v| within(v, 1, 10_000))?,
                low: read.required("MLOPS_ASYNC_BATCH_PRIORITY_LOW_LIMIT", |v| within(v, 1, 10_000))?,
            },
            max_batch_size: read.required("MLOPS_ASYNC_BATCH_MAX_BATCH_SIZE", |v| within(v, 1, 10_000))?,
            default_timeout: read.required("MLOPS_ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS", |v| seconds(v, 10, 3600))?,
            cleanup_interval: read.required("MLOPS_ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS", |v| seconds(v, 1, 3600))?,
            time_to_live: read.required("MLOPS_ASYNC_BATCH_CACHE_TTL_SECONDS", |v| seconds(v, 1, 86_400))?,
            kept_jobs: read.required("MLOPS_ASYNC_BATCH_RESULT_CACHE_MAX_SIZE", |v| within(v, 1, 10_000))?,
            // The largest job that a body can carry fits the least of these.
            max_bytes: read.required("MLOPS_ASYNC_BATCH_MAX_BYTES", |v| within(v, 8 << 20, 64 << 30))?,
        };
        Ok(enabled.then_some(config))
    }
}
