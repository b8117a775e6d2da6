//! Equal texts in flight: one asks for all, and when it goes, the next that waits goes on where it stopped.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use tokio::sync::{Mutex, MutexGuard};

use super::{Output, key::Key};

/// How far the question for one text went.
pub(super) struct Progress<E> {
    /// Redis was asked, and had no answer.
    pub(super) redis_was_asked: bool,
    /// What all are told who ask.
    pub(super) end: Option<Result<Output, E>>,
}

type Flight<E> = Arc<Mutex<Progress<E>>>;

/// The texts in flight.
pub(super) struct Flights<E>(std::sync::Mutex<HashMap<Key, Flight<E>>>);

/// One caller's part in a flight. With the last of them the flight is forgotten.
pub(super) struct Seat<'a, E> {
    flights: &'a Flights<E>,
    key: Key,
    flight: Flight<E>,
}

impl<E> Flights<E> {
    pub(super) fn new() -> Self {
        Self(std::sync::Mutex::default())
    }

    /// Takes part in the flight of a text, or begins one.
    pub(super) fn join(&self, key: Key) -> Seat<'_, E> {
        let begin = || Arc::new(Mutex::new(Progress { redis_was_asked: false, end: None }));
        let flight = Arc::clone(self.all().entry(key).or_insert_with(begin));
        Seat { flights: self, key, flight }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Flight<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Seat<'_, E> {
    /// Waits for the turn to ask, in the order of arrival. It ends when what is returned is dropped, with whatever future
    /// holds it.
    pub(super) async fn turn(&self) -> MutexGuard<'_, Progress<E>> {
        self.flight.lock().await
    }

    /// Lets those who come from now on begin anew. Who takes part already still learns how it ended.
    pub(super) fn close(&self) {
        self.forget(&mut self.flights.all());
    }

    fn forget(&self, all: &mut HashMap<Key, Flight<E>>) {
        // The key may have another flight by now.
        if all.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            all.remove(&self.key);
        }
    }
}

impl<E> Drop for Seat<'_, E> {
    fn drop(&mut self) {
        let mut all = self.flights.all();
        // The map's own and this one: nobody joins without the map, which is held here.
        if Arc::strong_count(&self.flight) == 2 {
            self.forget(&mut all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flight_lasts_as_long_as_somebody_takes_part() {
        let flights: Flights<()> = Flights::new();
        let (first, second) = (flights.join(1), flights.join(1));
        let other = flights.join(2);
        assert_eq!(flights.len(), 2);
        first.turn().await.redis_was_asked = true;
        drop(first);
        assert!(second.turn().await.redis_was_asked);
        drop(second);
        assert_eq!(flights.len(), 1);
        assert!(!flights.join(1).turn().await.redis_was_asked, "a new one");
        drop(other);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn after_its_end_a_flight_takes_nobody_more() {
        let flights: Flights<u8> = Flights::new();
        let (first, second) = (flights.join(1), flights.join(1));
        first.turn().await.end = Some(Err(7));
        first.close();
        let late = flights.join(1);
        assert!(late.turn().await.end.is_none());
        assert_eq!(second.turn().await.end, Some(Err(7)));
        // Neither of these may forget the new one.
        drop((first, second));
        assert_eq!(flights.len(), 1);
        drop(late);
        assert_eq!(flights.len(), 0);
    }
}
