//! Bursts of events are few looks: the first at once, and then at most one in [`REST`].
//!
//! A rollout touches pods, ReplicaSet and Deployment within milliseconds. Who waited until such a burst is over would
//! wait for ever where one never ends.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use futures::{Stream, StreamExt, channel::mpsc};
use tokio_util::time::DelayQueue;

/// Time between two looks at one service.
pub(super) const REST: Duration = Duration::from_millis(50);

/// Passes on what comes, each item at most once in [`REST`] and the last one never less than that later. Nothing is
/// passed on before `begin`.
pub(super) async fn pace<T: Clone + Eq + Hash>(
    begin: impl Future<Output = ()>,
    coming: impl Stream<Item = T>,
    going: mpsc::UnboundedSender<T>,
) {
    let mut coming = std::pin::pin!(coming.fuse());
    let mut begin = std::pin::pin!(begin);
    // Each object of a first list tells of its service: kept one by one they would be the most that is ever held.
    let mut early = HashSet::new();
    loop {
        tokio::select! {
            // What comes once it may be looked at goes in its turn.
            biased;
            () = &mut begin => break,
            item = coming.next() => match item {
                Some(item) => drop(early.insert(item)),
                None => return,
            },
        }
    }
    let mut resting: HashMap<T, bool> = HashMap::new();
    let mut rests = DelayQueue::new();
    for item in early {
        resting.insert(item.clone(), false);
        rests.insert(item.clone(), REST);
        let _ = going.unbounded_send(item);
    }
    loop {
        tokio::select! {
            item = coming.next() => {
                let Some(item) = item else { return };
                if let Some(came_again) = resting.get_mut(&item) {
                    *came_again = true;
                } else {
                    resting.insert(item.clone(), false);
                    rests.insert(item.clone(), REST);
                    let _ = going.unbounded_send(item);
                }
            }
            Some(rested) = rests.next(), if !rests.is_empty() => {
                let item = rested.into_inner();
                if resting.insert(item.clone(), false) == Some(true) {
                    rests.insert(item.clone(), REST);
                    let _ = going.unbounded_send(item);
                } else {
                    resting.remove(&item);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_looked_at_at_once_and_then_from_time_to_time() {
        let (storm, coming) = mpsc::unbounded();
        let (sender, mut looks) = mpsc::unbounded();
        tokio::spawn(pace(ready(()), coming, sender));
        let began = Instant::now();
        tokio::spawn(async move {
            for _ in 0..50 {
                let _ = storm.unbounded_send("reviews");
                sleep(Duration::from_millis(20)).await;
            }
            pending::<()>().await;
        });
        let mut times = Vec::new();
        while let Ok(Some(_)) = timeout(Duration::from_secs(2), looks.next()).await {
            times.push(began.elapsed().as_millis());
        }
        assert_eq!(times.first(), Some(&0));
        assert!((19..=21).contains(&times.len()), "a second of storm: {times:?}");
        assert!(times.windows(2).all(|two| two[1] - two[0] >= 50), "{times:?}");
        assert!(times.last() >= Some(&980), "the last event has its look: {times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_never_waits_for_another() {
        let (events, coming) = mpsc::unbounded();
        let (sender, mut looks) = mpsc::unbounded();
        tokio::spawn(pace(ready(()), coming, sender));
        for name in ["a", "b"] {
            let _ = events.unbounded_send(name);
        }
        let began = Instant::now();
        assert_eq!((looks.next().await, looks.next().await), (Some("a"), Some("b")));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_looked_at_before_the_time() {
        let (events, coming) = mpsc::unbounded();
        let (sender, mut looks) = mpsc::unbounded();
        tokio::spawn(pace(sleep(Duration::from_secs(3)), coming, sender));
        let _ = events.unbounded_send("a");
        let _ = events.unbounded_send("a");
        let began = Instant::now();
        assert_eq!(looks.next().await, Some("a"));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        assert!(timeout(2 * REST, looks.next()).await.is_err(), "what came before the time is one look");
    }
}
