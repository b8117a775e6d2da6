//! The queues between the tokenizer threads and the workers. No text waits for a timer: a free worker
//! takes what is there now, so a batch is as large as the load makes it.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    lane::Lane,
    queue::{Limits, Queue, Queued, Taken},
};
use crate::{Rejection, Series};

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

/// What there is for a worker to do.
pub enum Next<J> {
    /// To run these.
    Texts(Taken<J>),
    /// Nothing, and for a while there was nothing.
    Lull,
    /// To end: the batcher is closed and the lane empty.
    Closed,
}

/// A [`Queue`] for each [`Lane`], which threads share.
pub struct Batcher<J> {
    short: Shared<J>,
    long: Shared<J>,
    series: Arc<Series>,
}

impl<J: Queued> Batcher<J> {
    /// An empty, open batcher.
    #[must_use]
    pub fn new(limits: Limits, series: Arc<Series>) -> Self {
        let shared = |lane: Lane| {
            let queue = Queue::new(lane.limits(limits));
            Shared { state: Mutex::new(State { queue, free_workers: 0, closed: false }), arrival: Condvar::new() }
        };
        Self { short: shared(Lane::Short), long: shared(Lane::Long), series }
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

    /// Waits for texts of a lane and takes a batch together with texts that expired meanwhile; for no
    /// longer than `patience`, where there is one. `finished` counts the texts of the batch that the
    /// worker took before.
    pub fn next(&self, lane: Lane, finished: usize, patience: Option<Duration>) -> Next<J> {
        let lane = self.lane(lane);
        let mut state = lane.lock();
        state.queue.finish(finished);
        state.free_workers += 1;
        let next = loop {
            if !state.queue.is_empty() {
                let taken = state.queue.take(Instant::now());
                self.series.reject_many(Rejection::Expired, taken.expired.len());
                self.series.reject_many(Rejection::Abandoned, taken.abandoned.len());
                if !taken.batch.is_empty() || !taken.expired.is_empty() {
                    break Next::Texts(taken);
                }
            } else if state.closed {
                break Next::Closed;
            } else if let Some(patience) = patience {
                let waited = lane.arrival.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() && state.queue.is_empty() && !state.closed {
                    break Next::Lull;
                }
            } else {
                state = lane.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        state.free_workers -= 1;
        next
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
    use std::thread;

    use super::{super::Layout, *};

    const LIMITS: Limits = Limits {
        layout: Layout::Padded,
        usual_tokens: 1024,
        max_tokens: 1024,
        max_size: 32,
        workers: 1,
        cost: crate::queue::tests::COST,
    };

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

    fn lengths(next: Next<Text>) -> Vec<usize> {
        match next {
            Next::Texts(taken) => taken.batch.iter().map(|text| text.0).collect(),
            Next::Lull | Next::Closed => vec![],
        }
    }

    #[test]
    fn each_lane_gives_its_own_texts_only() {
        let batcher = Batcher::new(LIMITS, Arc::new(Series::new()));
        let next = |lane| batcher.next(lane, 0, None);
        for tokens in [400, 8, 300, 9] {
            batcher.push(Text(tokens));
        }
        assert_eq!(lengths(next(Lane::Short)), [8, 9]);
        batcher.push(Text(10));
        batcher.close();
        // Closed, but what waits is still given out.
        assert_eq!(lengths(next(Lane::Long)), [300]);
        assert_eq!(lengths(next(Lane::Long)), [400]);
        assert!(matches!(next(Lane::Long), Next::Closed));
        assert_eq!(lengths(next(Lane::Short)), [10]);
        assert!(matches!(next(Lane::Short), Next::Closed));
    }

    #[test]
    fn a_text_wakes_a_worker_of_its_lane_while_the_other_lane_is_idle() {
        let batcher = Arc::new(Batcher::new(LIMITS, Arc::new(Series::new())));
        let worker = |lane| {
            let batcher = Arc::clone(&batcher);
            thread::spawn(move || lengths(batcher.next(lane, 0, None)))
        };
        let (short, long) = (worker(Lane::Short), worker(Lane::Long));
        while batcher.short.lock().free_workers + batcher.long.lock().free_workers < 2 {
            thread::yield_now();
        }
        batcher.push(Text(400));
        assert_eq!(long.join().unwrap(), [400]);
        batcher.push(Text(8));
        assert_eq!(short.join().unwrap(), [8]);
    }

    #[test]
    fn a_worker_that_waits_in_vain_is_told() {
        let batcher = Batcher::new(LIMITS, Arc::new(Series::new()));
        assert!(matches!(batcher.next(Lane::Short, 0, Some(Duration::from_millis(1))), Next::Lull));
        batcher.push(Text(8));
        assert_eq!(lengths(batcher.next(Lane::Short, 0, Some(Duration::from_millis(1)))), [8]);
    }
}
