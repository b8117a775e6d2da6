//! The door to the queue: bounds how many texts wait, wherever they are on their way to a worker, and how long.
//!
//! Each lane counts for itself, so that long texts take no room from short ones. What a text will wait is told from
//! the cost of all that is before it, and from how long such costs take at present.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    EngineError, Lane, Profile, Tokens,
    cost::Slowness,
    error::{Full, Refusal},
    length::Lengths,
};
use crate::Series;

/// What bounds the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Texts of each lane that may wait.
    pub(crate) texts: usize,
    /// The longest that a text may have to wait.
    pub(crate) wait: Duration,
    /// Workers of each lane.
    pub(crate) workers: usize,
}

impl Bounds {
    fn half(self) -> Self {
        Self { texts: self.texts.div_ceil(2), wait: self.wait / 2, ..self }
    }
}

/// The texts of a lane.
#[derive(Default)]
struct Load {
    waiting: AtomicUsize,
    /// Workers that run something.
    busy: AtomicUsize,
    /// Cost of what waits and of what runs, in nanoseconds.
    cost: AtomicU64,
    slowness: Slowness,
    /// Told whenever there may be room again.
    room: Notify,
}

/// The door to the queue.
pub(crate) struct Admission {
    bounds: Bounds,
    profile: Profile,
    lengths: Lengths,
    short: Load,
    long: Load,
    series: Arc<Series>,
}

/// A text's place, from its admission to the end of its run; free again when dropped.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    lane: Lane,
    cost: Duration,
    waits: bool,
    /// Whether its caller has waited for it, and is not to be refused any more.
    was_waited_for: bool,
}

impl Admission {
    /// `most_tokens` is what is read of a text at most.
    pub(crate) fn new(bounds: Bounds, profile: Profile, most_tokens: usize, series: Arc<Series>) -> Arc<Self> {
        let lengths = Lengths::new(most_tokens);
        let (short, long) = (Load::default(), Load::default());
        Arc::new(Self { bounds, profile, lengths, short, long, series })
    }

    /// A place for a text of so many bytes, unless it would wait for too long.
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize, deadline: Instant) -> Result<Permit, EngineError> {
        let tokens = self.expect(bytes);
        self.check(tokens, self.bounds, Some(deadline))?;
        Ok(self.place(tokens))
    }

    /// A place as soon as there is one. Who waits leaves half of the places and of the time to those who don't.
    pub(crate) async fn wait(self: &Arc<Self>, bytes: usize) -> Permit {
        loop {
            let tokens = self.expect(bytes);
            // Asked for before the look, so that no room that comes between the two is missed.
            let load = self.load(Lane::of(tokens));
            let room = load.room.notified();
            if self.check(tokens, self.bounds.half(), None).is_ok() {
                let mut place = self.place(tokens);
                place.was_waited_for = true;
                // There may be room for another one.
                load.room.notify_one();
                return place;
            }
            room.await;
        }
    }

    /// Learns how many tokens such a text has.
    pub(crate) fn learn(&self, bytes: usize, tokens: usize) {
        self.lengths.learn(bytes, tokens);
    }

    /// Notes a run: what its texts cost, and how long it took.
    pub(crate) fn observe(&self, lane: Lane, cost: Duration, took: Duration) {
        self.load(lane).slowness.observe(cost, took);
    }

    /// Tokens that are run for a text or for a window of it.
    pub(crate) fn length(&self, tokens: &Tokens) -> usize {
        tokens.ids.len().max(self.profile.fixed_tokens.unwrap_or_default())
    }

    fn expect(&self, bytes: usize) -> usize {
        self.lengths.expect(bytes).max(self.profile.fixed_tokens.unwrap_or_default())
    }

    fn load(&self, lane: Lane) -> &Load {
        match lane {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        }
    }

    /// A place for a text of so many tokens, whether or not there is room.
    pub(crate) fn place(self: &Arc<Self>, tokens: usize) -> Permit {
        let (lane, cost) = (Lane::of(tokens), self.profile.cost.of(tokens));
        let load = self.load(lane);
        load.waiting.fetch_add(1, Ordering::Relaxed);
        load.cost.fetch_add(nanoseconds(cost), Ordering::Relaxed);
        self.series.queue_depth.inc();
        Permit { admission: Arc::clone(self), lane, cost, waits: true, was_waited_for: false }
    }

    /// Whether a text of so many tokens may come.
    fn check(&self, tokens: usize, most: Bounds, deadline: Option<Instant>) -> Result<(), Refusal> {
        let load = self.load(Lane::of(tokens));
        let waiting = load.waiting.load(Ordering::Relaxed);
        let wait = load.wait(self.bounds.workers);
        let refuse = |cause| Err(Refusal { cause, drained_in: load.drained_in(self.bounds.workers) });
        if waiting >= most.texts {
            return refuse(Full::Places { capacity: most.texts });
        }
        // A lane at rest takes any text: else what was told wrong once would be told wrong for ever.
        if wait.is_zero() {
            return Ok(());
        }
        if wait > most.wait {
            return refuse(Full::Wait { wait, most: most.wait });
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let needed = wait + load.slowness.stretch(self.profile.cost.of(tokens));
            if needed > left {
                return refuse(Full::Time { needed, left });
            }
        }
        Ok(())
    }
}

impl Load {
    /// How long a text that comes now will wait.
    fn wait(&self, workers: usize) -> Duration {
        let free = workers.saturating_sub(self.busy.load(Ordering::Relaxed));
        if self.waiting.load(Ordering::Relaxed) < free { Duration::ZERO } else { self.drained_in(workers) }
    }

    /// How long the workers need for what is here.
    fn drained_in(&self, workers: usize) -> Duration {
        let cost = Duration::from_nanos(self.cost.load(Ordering::Relaxed));
        self.slowness.stretch(cost) / u32::try_from(workers).unwrap_or(u32::MAX).max(1)
    }
}

impl Permit {
    /// Puts the text where its tokens, which are counted now, say. Refuses it if it is far longer than it was taken for
    /// and would wait for too long.
    pub(crate) fn settle(self, tokens: usize, deadline: Instant) -> Result<Self, EngineError> {
        let admission = Arc::clone(&self.admission);
        let as_expected = Lane::of(tokens) == self.lane && admission.profile.cost.of(tokens) <= self.cost * 2;
        let may_stay = as_expected || self.was_waited_for;
        // It doesn't wait for itself.
        drop(self);
        if !may_stay {
            admission.check(tokens, admission.bounds, Some(deadline))?;
        }
        Ok(admission.place(tokens))
    }

    /// Its run has begun: it doesn't wait any more, but others wait for it.
    pub(crate) fn leave_the_queue(&mut self) {
        if std::mem::take(&mut self.waits) {
            let load = self.admission.load(self.lane);
            load.waiting.fetch_sub(1, Ordering::Relaxed);
            self.admission.series.queue_depth.dec();
            load.room.notify_one();
        }
    }

    /// What it costs.
    pub(crate) fn cost(&self) -> Duration {
        self.cost
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.leave_the_queue();
        let load = self.admission.load(self.lane);
        load.cost.fetch_sub(nanoseconds(self.cost), Ordering::Relaxed);
        load.room.notify_one();
    }
}

/// A worker that runs something, until dropped.
pub(crate) struct Busy<'a>(&'a Load);

impl Admission {
    /// Counts a worker of the lane as busy.
    pub(crate) fn busy(&self, lane: Lane) -> Busy<'_> {
        let load = self.load(lane);
        load.busy.fetch_add(1, Ordering::Relaxed);
        Busy(load)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
