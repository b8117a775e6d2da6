//! Batch jobs: texts that are handed in at once, run in the background, and asked for later. They are
//! in this process's memory only, within bounds on their number and their bytes.

mod job;
mod metrics;
mod runner;
mod store;
mod texts;
mod totals;
mod turns;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::JobsConfig;
pub use job::{Answer, Failure, Item, Moment, Priority, Refused, Snapshot, Status, Submission, Text};
pub use metrics::JobMetrics;
pub use store::{Assignment, Refusal, Store, Ticket, Unavailable};
pub use totals::Figures;

/// The jobs of a process, shared by its requests and the runner.
#[derive(Debug)]
pub struct Jobs {
    store: Mutex<Store>,
    arrival: Notify,
    /// Texts of a job that are run at once, at most, when its caller doesn't say.
    pub max_batch_size: usize,
    /// Time that a job has when its caller doesn't say.
    pub default_timeout: Duration,
    cleanup_interval: Duration,
}

impl Jobs {
    /// No jobs yet.
    #[must_use]
    pub fn new(config: JobsConfig, metrics: JobMetrics) -> Self {
        Self {
            arrival: Notify::new(),
            max_batch_size: config.max_batch_size,
            default_timeout: config.default_timeout,
            cleanup_interval: config.cleanup_interval,
            store: Mutex::new(Store::new(config, metrics)),
        }
    }

    /// Takes a job, unless a bound is reached.
    pub fn submit(&self, submission: Submission) -> Result<Snapshot, Refusal> {
        let snapshot = self.store().submit(submission, Moment::now())?;
        self.arrival.notify_one();
        Ok(snapshot)
    }

    /// The state of a job.
    pub fn status(&self, id: Uuid) -> Option<Snapshot> {
        self.store().status(id, Moment::now())
    }

    /// Everything that came out of a job that was run to its end.
    pub fn results(&self, id: Uuid) -> Result<Arc<[Item]>, Unavailable> {
        self.store().results(id, Moment::now())
    }

    /// Takes a job back that has not ended.
    pub fn cancel(&self, id: Uuid) -> Result<(), Unavailable> {
        self.store().cancel(id, Moment::now())
    }

    /// Jobs that wait for their first text to be run, in the order of [`Priority::ALL`].
    pub fn queued(&self) -> [usize; 3] {
        self.store().queued(Moment::now())
    }

    /// Figures over all jobs since the start.
    pub fn figures(&self) -> Figures {
        self.store().figures(Moment::now())
    }

    // A panic leaves no job half changed that another call would trip over: at worst a count is off.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
