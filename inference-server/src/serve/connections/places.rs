//! Bounds how many connections are open, and finds one that can go when all places are taken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::activity::{Activity, Phase};

/// A number of places for connections.
pub(super) struct Places {
    most: usize,
    /// How long a connection may be without a whole head, or leave its response untaken, before its
    /// place can be taken.
    grace: Duration,
    origin: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// A place; free again when dropped.
pub(super) struct Place {
    id: u64,
    places: Arc<Places>,
    pub(super) activity: Arc<Activity>,
}

impl Places {
    pub(super) fn new(most: usize, grace: Duration) -> Arc<Self> {
        Arc::new(Self { most, grace, origin: Instant::now(), open: Mutex::default() })
    }

    /// A place, if need be that of the connection that has been without a request for longest.
    /// `None` when every connection has one.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.lock();
        if open.connections.len() >= self.most {
            let longest = self.longest_without_request(&open)?;
            // It counts as gone from here on; its task closes it within moments.
            open.connections.remove(&longest)?.ask_to_leave();
        }
        let activity = Arc::new(Activity::new(self.origin));
        let id = open.next;
        open.next += 1;
        open.connections.insert(id, Arc::clone(&activity));
        Some(Place { id, places: Arc::clone(self), activity })
    }

    fn longest_without_request(&self, open: &Open) -> Option<u64> {
        let now = Instant::now();
        open.connections
            .iter()
            .map(|(id, activity)| (*id, activity.phase()))
            .filter(|(_, (phase, since))| match phase {
                Phase::Idle => true,
                Phase::Head | Phase::Response => *since + self.grace <= now,
                Phase::Request => false,
            })
            .min_by_key(|(_, (_, since))| *since)
            .map(|(id, _)| id)
    }

    // Each change of the map is one call, so a panic leaves none half done.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(place: &Place) -> bool {
        futures::FutureExt::now_or_never(place.activity.asked_to_leave()).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_place_and_a_busy_one_never() {
        let all = Places::new(3, Duration::from_secs(1));
        let places: Vec<Place> = (0..3).filter_map(|_| all.enter()).collect();
        assert!(all.enter().is_none(), "all three are new, so their requests may be on the way");

        places[0].activity.enter(Phase::Request);
        tokio::time::advance(Duration::from_millis(10)).await;
        places[2].activity.enter(Phase::Idle);
        tokio::time::advance(Duration::from_millis(10)).await;
        places[1].activity.enter(Phase::Idle);
        let fourth = all.enter().unwrap();
        assert_eq!((asked(&places[0]), asked(&places[1]), asked(&places[2])), (false, false, true));

        places[1].activity.enter(Phase::Request);
        fourth.activity.enter(Phase::Request);
        assert!(all.enter().is_none());
        drop(fourth);
        assert!(all.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_takes_long_makes_place() {
        let all = Places::new(1, Duration::from_secs(1));
        let slow = all.enter().unwrap();
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(all.enter().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        let quick = all.enter().unwrap();
        assert!(asked(&slow));
        // What has lost its place gives nobody else's back.
        drop(slow);
        quick.activity.enter(Phase::Request);
        assert!(all.enter().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_taken_makes_place() {
        let all = Places::new(1, Duration::from_secs(1));
        let deaf = all.enter().unwrap();
        deaf.activity.enter(Phase::Response);
        assert!(all.enter().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(all.enter().is_some());
        assert!(asked(&deaf));
    }
}
