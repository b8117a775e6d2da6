//! The inference log: what was answered, told to who wants to look at it later. It never makes a request wait: each
//! destination has a queue of its own, and what finds it full is dropped and counted.

mod cloud_event;
mod destination;
mod queue;
mod receiver;
mod record;
mod series;

use std::{
    io::stdout,
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::{
    destination::Destination,
    record::{Record, Texts},
    series::{Outcome, Series},
};
use self::{
    queue::Queue,
    receiver::{Lines, Receiver},
};
use crate::{config::InferenceLogConfig, outgoing::AuthoritiesError};

tokio::task_local! {
    static REQUEST: Arc<str>;
}

/// Runs what answers a request; its records carry the request's id.
pub fn of_request<T, F: Future<Output = T>>(correlation_id: &str, answering: F) -> impl Future<Output = T> + use<T, F> {
    REQUEST.scope(correlation_id.into(), answering)
}

/// The inference log.
pub struct InferenceLog {
    sample_ratio: f64,
    with_text: bool,
    queues: Vec<Queue>,
}

impl InferenceLog {
    /// Starts a thread for each destination.
    pub fn start(config: &InferenceLogConfig, series: &Arc<Series>) -> Result<Self, AuthoritiesError> {
        let mut queues = Vec::new();
        if config.stdout {
            queues.push(Queue::start(Lines::new(stdout()), config.capacity, series));
        }
        if let Some(url) = &config.url {
            queues.push(Queue::start(Receiver::new(url, config)?, config.capacity, series));
        }
        Ok(Self { sample_ratio: config.sample_ratio, with_text: config.text, queues })
    }

    /// Notes an answer, if it is one of the sample. `record` makes it, without its texts where these aren't wanted.
    pub fn note(&self, record: impl FnOnce(bool) -> Record) {
        if fastrand::f64() >= self.sample_ratio {
            return;
        }
        let mut record = record(self.with_text);
        record.correlation_id = REQUEST.try_with(Arc::clone).ok();
        let record = Arc::new(record);
        for queue in &self.queues {
            queue.put(Arc::clone(&record));
        }
    }

    /// Sends what waits, and waits for that no longer than this.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for queue in &self.queues {
            queue.close();
        }
        for queue in &self.queues {
            queue.wait_until(deadline);
        }
    }
}
