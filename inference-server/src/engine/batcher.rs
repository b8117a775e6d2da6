//! The queue between the tokenizer threads and the workers. No timer: a free worker takes what is
//! there now, so a batch is as large as the load makes it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::queue::{Queue, Queued, Taken};
use crate::metrics::{Metrics, Rejection};

struct State<J> {
    queue: Queue<J>,
    free_workers: usize,
    closed: bool,
}

/// A [`Queue`] that threads share.
pub struct Batcher<J> {
    state: Mutex<State<J>>,
    arrival: Condvar,
    metrics: Arc<Metrics>,
}

impl<J: Queued> Batcher<J> {
    /// An empty, open batcher; the limits are those of [`Queue::new`].
    #[must_use]
    pub fn new(max_tokens: usize, max_size: usize, metrics: Arc<Metrics>) -> Self {
        let queue = Queue::new(max_tokens, max_size);
        let state = Mutex::new(State { queue, free_workers: 0, closed: false });
        Self { state, arrival: Condvar::new(), metrics }
    }

    /// Adds a text.
    pub fn push(&self, job: J) {
        self.lock().queue.push(job);
        self.arrival.notify_one();
    }

    /// Waits for texts and takes a batch together with texts that expired meanwhile. `None` when
    /// the batcher is closed and empty.
    pub fn next(&self) -> Option<Taken<J>> {
        let mut state = self.lock();
        state.free_workers += 1;
        loop {
            if !state.queue.is_empty() {
                let free = state.free_workers;
                let taken = state.queue.take(Instant::now(), free);
                self.metrics.reject_many(Rejection::Abandoned, taken.abandoned.len());
                if !taken.batch.is_empty() || !taken.expired.is_empty() {
                    state.free_workers -= 1;
                    return Some(taken);
                }
            } else if state.closed {
                state.free_workers -= 1;
                return None;
            } else {
                state = self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Lets the workers finish what is queued and then end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrival.notify_all();
    }

    // The queue holds no half-done change when a thread panics: every change is one call.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
