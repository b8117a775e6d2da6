//! The metric of the queue: how many services wait for a reconciliation, and for how long.
//!
//! kube's controller doesn't tell the length of its queue. So each event that triggers it is noted
//! on its way in, and crossed out when the reconciliation of that service begins. As in the
//! controller, events of one service that come while it waits are one entry. A retry that is put
//! off after a failure isn't waiting: it is counted by none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use prometheus_client::{
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{api::ServiceRef, lock::lock};

/// Seconds. Of events that follow another within 50 ms, the controller takes one look at the end of these.
const BUCKETS: [f64; 8] = [0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The services that wait. Clones share their state.
#[derive(Clone, Debug)]
pub struct Queue {
    waiting: Arc<Mutex<HashMap<ServiceRef, Instant>>>,
    depth: Gauge,
    duration: Histogram,
}

impl Queue {
    /// An empty queue, in a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let queue = Self { waiting: Arc::default(), depth: Gauge::default(), duration: Histogram::new(BUCKETS) };
        registry.register(
            "queue_depth",
            "SentimentServices that changed, or a child of which did, and whose reconciliation has not begun",
            queue.depth.clone(),
        );
        registry.register(
            "queue_duration_seconds",
            "Time from such a change to the beginning of the reconciliation, the pause of 50 ms between two looks included",
            queue.duration.clone(),
        );
        queue
    }

    /// Notes that a service has to be looked at.
    pub fn enter(&self, service: ServiceRef) {
        let mut waiting = lock(&self.waiting);
        waiting.entry(service).or_insert_with(Instant::now);
        self.show(&waiting);
    }

    /// Notes that a service is being looked at, or that there is nothing left to look at.
    pub fn leave(&self, service: &ServiceRef) {
        let mut waiting = lock(&self.waiting);
        if let Some(since) = waiting.remove(service) {
            self.duration.observe(since.elapsed().as_secs_f64());
        }
        self.show(&waiting);
    }

    fn show(&self, waiting: &HashMap<ServiceRef, Instant>) {
        self.depth.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_waits_once_however_often_it_changes() {
        let queue = Queue::register(&mut Registry::default());
        let [reviews, mails] = ["reviews", "mails"].map(|name| ServiceRef::new(name).within("demo"));
        queue.enter(reviews.clone());
        queue.enter(reviews.clone());
        queue.enter(mails.clone());
        assert_eq!(queue.depth.get(), 2);
        queue.leave(&reviews);
        assert_eq!(queue.depth.get(), 1);
        queue.leave(&reviews);
        queue.leave(&mails);
        assert_eq!(queue.depth.get(), 0);
    }
}
