//! Places for requests of many texts, so that their bodies and answers don't fill the memory.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests of many texts that are handled at once, by all protocols together.
const MOST_AT_ONCE: usize = 8;

/// All places.
pub struct Batches(Semaphore);

/// All places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_AT_ONCE} batches are being handled already")]
pub struct TooManyBatches;

impl Batches {
    /// None taken.
    #[must_use]
    pub fn new() -> Self {
        Self(Semaphore::new(MOST_AT_ONCE))
    }

    /// One of the places, unless all are taken. It is free again when the permit is dropped.
    pub fn enter(&self) -> Result<SemaphorePermit<'_>, TooManyBatches> {
        self.0.try_acquire().map_err(|_| TooManyBatches)
    }
}

impl Default for Batches {
    fn default() -> Self {
        Self::new()
    }
}
