//! Bounds how many texts wait, wherever they are on their way to a worker.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::EngineError;
use crate::metrics::Metrics;

/// The door to the queue.
pub(super) struct Admission {
    capacity: usize,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A place in the queue; free again when dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Admission {
    pub(super) fn new(capacity: usize, metrics: Arc<Metrics>) -> Self {
        Self { capacity, places: Arc::new(Semaphore::new(capacity)), metrics }
    }

    /// A place, unless all are taken.
    pub(super) fn enter(&self) -> Result<Place, EngineError> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        permit.map(|permit| self.place(permit)).map_err(|_| EngineError::Full { capacity: self.capacity })
    }

    /// A place as soon as there is one.
    pub(super) async fn wait(&self) -> Result<Place, EngineError> {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.map(|permit| self.place(permit)).map_err(|_| EngineError::Stopped)
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        self.metrics.queue_depth.inc();
        Place { _permit: permit, metrics: Arc::clone(&self.metrics) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.queue_depth.dec();
    }
}
