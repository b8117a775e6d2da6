//! The queues between the tokenizer threads and the workers. No timer: a free worker takes what is
//! there now, so a batch is as large as the load makes it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    lane::Lane,
    queue::{Queue, Queued, Taken},
};
use crate::metrics::{Metrics, Rejection};

struct State<J> {
    queue: Queue<J>,
    free_workers: usize,
    closed: bool,
}

/// One lane's queue, and where its free workers wait.
struct Shared<J> {
    state: Mutex<State<J>>,
    arrival: Condvar,
}

impl<J> Shared<J> {
    // The queue holds no half-done change when a thread panics: every change is one call.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Queue`] for each [`Lane`], which threads share.
pub struct Batcher<J> {
    short: Shared<J>,
    long: Shared<J>,
    metrics: Arc<Metrics>,
}

impl<J: Queued> Batcher<J> {
    /// An empty, open batcher; the limits are those of [`Queue::new`], for each lane.
    #[must_use]
    pub fn new(max_tokens: usize, max_size: usize, metrics: Arc<Metrics>) -> Self {
        let shared = || {
            let queue = Queue::new(max_tokens, max_size);
            Shared { state: Mutex::new(State { queue, free_workers: 0, closed: false }), arrival: Condvar::new() }
        };
        Self { short: shared(), long: shared(), metrics }
    }

    fn lane(&self, lane: Lane) -> &Shared<J> {
        match lane {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        }
    }

    /// Adds a text to the lane that its length says.
    pub fn push(&self, job: J) {
        let lane = self.lane(Lane::of(job.tokens()));
        let mut state = lane.lock();
        state.queue.push(job);
        let somebody_waits = state.free_workers > 0;
        drop(state);
        // To notify nobody is a system call too.
        if somebody_waits {
            lane.arrival.notify_one();
        }
    }

    /// Waits for texts of a lane and takes a batch together with texts that expired meanwhile.
    /// `None` when the batcher is closed and the lane empty.
    pub fn next(&self, lane: Lane) -> Option<Taken<J>> {
        let lane = self.lane(lane);
        let mut state = lane.lock();
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
                state = lane.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Lets the workers finish what is queued and then end.
    pub fn close(&self) {
        for lane in Lane::ALL.map(|lane| self.lane(lane)) {
            lane.lock().closed = true;
            lane.arrival.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    struct Text(usize);

    impl Queued for Text {
        fn tokens(&self) -> usize {
            self.0
        }
        fn arrived(&self) -> Instant {
            Instant::now()
        }
        fn deadline(&self) -> Instant {
            Instant::now() + Duration::from_mins(1)
        }
        fn is_abandoned(&self) -> bool {
            false
        }
    }

    fn lengths(taken: Option<Taken<Text>>) -> Vec<usize> {
        taken.unwrap().batch.iter().map(|text| text.0).collect()
    }

    #[test]
    fn each_lane_gives_its_own_texts_only() {
        let batcher = Batcher::new(1024, 32, Arc::new(Metrics::new()));
        for tokens in [400, 8, 300, 9] {
            batcher.push(Text(tokens));
        }
        assert_eq!(lengths(batcher.next(Lane::Short)), [8, 9]);
        batcher.push(Text(10));
        batcher.close();
        // Closed, but what waits is still given out.
        while let Some(taken) = batcher.next(Lane::Long) {
            assert!(taken.batch.iter().all(|text| text.0 >= 300));
        }
        assert_eq!(lengths(batcher.next(Lane::Short)), [10]);
        assert!(batcher.next(Lane::Short).is_none());
    }

    #[test]
    fn a_text_wakes_a_worker_of_its_lane_while_the_other_lane_is_idle() {
        let batcher = Arc::new(Batcher::new(1024, 32, Arc::new(Metrics::new())));
        let worker = |lane| {
            let batcher = Arc::clone(&batcher);
            thread::spawn(move || batcher.next(lane).map(|taken| taken.batch.len()))
        };
        let (short, long) = (worker(Lane::Short), worker(Lane::Long));
        while batcher.short.lock().free_workers + batcher.long.lock().free_workers < 2 {
            thread::yield_now();
        }
        batcher.push(Text(400));
        assert_eq!(long.join().unwrap(), Some(1));
        batcher.push(Text(8));
        assert_eq!(short.join().unwrap(), Some(1));
    }
}
