//! Bounds how many texts wait, wherever they are on their way to a worker.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::EngineError;
use crate::metrics::Metrics;

/// The door to the queue.
pub(super) struct Admission {
    capacity: usize,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// A place in the queue; free again when dropped.
pub(super) struct Place {
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Admission {
    pub(super) fn new(capacity: usize, metrics: Arc<Metrics>) -> Self {
        Self { capacity, waiting: Arc::default(), metrics }
    }

    /// A place, unless all are taken.
    pub(super) fn enter(&self) -> Result<Place, EngineError> {
        let taken = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.capacity).then_some(waiting + 1)
        });
        if taken.is_err() {
            return Err(EngineError::Full { capacity: self.capacity });
        }
        self.metrics.queue_depth.inc();
        Ok(Place { waiting: Arc::clone(&self.waiting), metrics: Arc::clone(&self.metrics) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.metrics.queue_depth.dec();
    }
}
