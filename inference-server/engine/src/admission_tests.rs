use futures::FutureExt;

use super::*;
use crate::{Cost, Layout};

/// A long text of 400 tokens takes 40 ms of one of two workers.
fn admission(texts: usize) -> Arc<Admission> {
    let bounds = Bounds { texts, wait: Duration::from_secs(2), workers: 2 };
    let cost = Cost { run: Duration::ZERO, token: Duration::from_micros(100) };
    let profile = Profile { layout: Layout::Varlen, is_quantized: true, most_texts: None, fixed_tokens: None, cost };
    Admission::new(bounds, profile, 512, Arc::new(Series::new()))
}

/// Bytes that are taken for so many tokens.
const fn bytes(tokens: usize) -> usize {
    4 * tokens
}

fn later(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Rounded.
fn milliseconds(duration: Duration) -> u128 {
    (duration + Duration::from_micros(500)).as_millis()
}

/// Places for texts of so many tokens, as many as there are.
fn fill(admission: &Arc<Admission>, tokens: usize) -> (Vec<Permit>, Refusal) {
    let mut places = Vec::new();
    loop {
        match admission.enter(bytes(tokens), later(30)) {
            Ok(place) => places.push(place),
            Err(EngineError::Full(refusal)) => return (places, refusal),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn no_more_texts_wait_than_are_done_in_the_longest_wait() {
    let admission = admission(1000);
    let (places, refusal) = fill(&admission, 400);
    // Two workers do 100 of them in two seconds.
    assert_eq!(places.len(), 101);
    assert_eq!(milliseconds(refusal.drained_in), 101 * 40 / 2);
    assert!(refusal.to_string().contains("MLOPS_MAX_QUEUE_WAIT_MS"), "{refusal}");
    assert_eq!(admission.series.queue_depth.get(), 101);
    drop(places);
    assert_eq!(admission.series.queue_depth.get(), 0);
    assert_eq!(fill(&admission, 400).0.len(), 101);
}

#[test]
fn long_texts_take_no_room_from_short_ones() {
    let admission = admission(150);
    let (_long, _) = fill(&admission, 400);
    let (short, refusal) = fill(&admission, 8);
    assert_eq!((short.len(), refusal.cause), (150, Full::Places { capacity: 150 }));
}

#[test]
fn what_runs_counts_until_it_is_done_but_takes_no_place() {
    let admission = admission(4);
    let (mut places, _) = fill(&admission, 400);
    places[0].leave_the_queue();
    assert_eq!(admission.series.queue_depth.get(), 3);
    let (more, refusal) = fill(&admission, 400);
    assert_eq!((more.len(), milliseconds(refusal.drained_in)), (1, 5 * 40 / 2));
}

#[test]
fn a_slower_machine_takes_fewer() {
    let admission = admission(1000);
    (0..100).for_each(|_| admission.observe(Lane::Long, Duration::from_millis(40), Duration::from_millis(160)));
    let long = fill(&admission, 400).0.len();
    assert!((24..=27).contains(&long), "{long}");
    // The other lane has a speed of its own.
    assert_eq!(fill(&admission, 50).0.len(), 801);
}

#[test]
fn a_text_that_would_not_be_done_in_its_time_is_refused_and_one_that_is_alone_never() {
    let admission = admission(1000);
    let now = Instant::now();
    let mut places = vec![admission.enter(bytes(400), now).unwrap(), admission.enter(bytes(400), now).unwrap()];
    places.extend((0..8).map(|_| admission.enter(bytes(400), later(30)).unwrap()));
    // 200 ms until its turn, and 40 ms for itself.
    let refused = admission.enter(bytes(400), Instant::now() + Duration::from_millis(220));
    assert!(matches!(refused, Err(EngineError::Full(Refusal { cause: Full::Time { .. }, .. }))));
    places.push(admission.enter(bytes(400), Instant::now() + Duration::from_millis(900)).unwrap());
}

#[test]
fn a_free_worker_is_nothing_to_wait_for() {
    let admission = admission(1000);
    // One run of ten seconds, and a worker beside it.
    let mut running = admission.place(100_000);
    let busy = admission.busy(Lane::Long);
    running.leave_the_queue();
    let second = admission.enter(bytes(400), later(1)).unwrap();
    drop(second);
    let _busy_too = admission.busy(Lane::Long);
    assert!(admission.enter(bytes(400), later(30)).is_err());
    drop(busy);
    assert!(admission.enter(bytes(400), later(30)).is_ok());
}

#[test]
fn a_text_that_is_longer_than_it_looked_is_looked_at_again() {
    let admission = admission(1000);
    let (places, _) = fill(&admission, 400);
    let looked_short = admission.enter(bytes(10), later(30)).unwrap();
    assert!(looked_short.settle(400, later(30)).is_err());
    // Who has waited for a place isn't sent away from it.
    let patient = admission.wait(bytes(10)).now_or_never().unwrap();
    assert_eq!(patient.settle(400, later(30)).unwrap().lane, Lane::Long);
    let place = admission.enter(bytes(10), later(30)).unwrap().settle(12, later(30)).unwrap();
    assert_eq!((place.lane, place.cost()), (Lane::Short, Duration::from_micros(1200)));
    drop((places, place));
    let alone = admission.enter(bytes(10), later(30)).unwrap().settle(400, later(30)).unwrap();
    assert_eq!((alone.lane, admission.series.queue_depth.get()), (Lane::Long, 1));
    drop(alone);
    let nothing = |lane| admission.load(lane).drained_in(2) == Duration::ZERO;
    assert!(Lane::ALL.into_iter().all(nothing));
}

#[tokio::test]
async fn who_waits_leaves_half_of_the_time_to_others_and_has_its_turn() {
    let admission = admission(1000);
    let mut places = Vec::new();
    while let Some(place) = admission.wait(bytes(400)).now_or_never() {
        places.push(place);
    }
    assert_eq!(places.len(), 51);
    assert_eq!(fill(&admission, 400).0.len(), 50);
    let mut short = Vec::new();
    while let Some(place) = admission.wait(bytes(8)).now_or_never() {
        short.push(place);
    }
    assert_eq!(short.len(), 500);
    drop(short);

    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let admission = Arc::clone(&admission);
            tokio::spawn(async move { admission.wait(bytes(400)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    // A short one has nothing to wait for.
    admission.wait(bytes(8)).now_or_never().unwrap();
    drop(places.split_off(46));
    for place in waiting {
        places.push(place.await.unwrap());
    }
    assert_eq!(places.len(), 51);
}

#[test]
fn a_fixed_length_is_what_each_text_costs() {
    let bounds = Bounds { texts: 1000, wait: Duration::from_secs(2), workers: 1 };
    let cost = Cost { run: Duration::ZERO, token: Duration::from_micros(100) };
    let profile =
        Profile { layout: Layout::Padded, is_quantized: false, most_texts: None, fixed_tokens: Some(128), cost };
    let admission = Admission::new(bounds, profile, 128, Arc::new(Series::new()));
    let tokens = Tokens { ids: vec![1, 2, 3], type_ids: None };
    assert_eq!(admission.length(&tokens), 128);
    assert_eq!(admission.enter(bytes(2), later(30)).unwrap().cost(), Duration::from_micros(12_800));
}
