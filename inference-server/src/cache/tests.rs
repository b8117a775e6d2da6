use std::{
    future,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Semaphore,
    task::{self, JoinHandle},
};

use super::{
    redis::fake::{Fake, Reply, is_lookup},
    *,
};

#[derive(Clone, Debug, PartialEq)]
enum Failure {
    /// Concerns the caller whose run it was.
    TimedOut,
    /// Concerns all who ask.
    Full,
}

fn own(failure: &Failure) -> bool {
    *failure == Failure::TimedOut
}

fn answer(logit: f32) -> Output {
    Output { logits: [logit, 0.0].into(), truncated: true, inference: Duration::from_millis(5), cached: false }
}

fn cache(entries: usize, redis: Option<Arc<Redis>>) -> Arc<Cache<Failure>> {
    let bounds = Bounds { entries, bytes: 1 << 20 };
    Arc::new(Cache::new(Some(bounds), redis, Arc::new(Series::default())))
}

#[tokio::test]
async fn the_first_answer_is_kept() {
    let cache = cache(10, None);
    for (score, expected, cached) in [(0.5, 0.5, false), (0.6, 0.5, true), (0.7, 0.5, true)] {
        let found = cache.answer("a".into(), || future::ready(Ok(answer(score))), own).await.unwrap();
        assert_eq!((found.logits[0], found.truncated, found.cached), (expected, true, cached));
        assert_eq!(found.inference.is_zero(), cached);
    }
    assert_eq!((cache.series.hits.get(), cache.series.misses.get()), (2, 1));
    assert_eq!((cache.entries().await, cache.flights.len()), (1, 0));
}

#[tokio::test]
async fn no_more_answers_are_kept_than_asked_for() {
    let cache = cache(10, None);
    for number in 0..100 {
        cache.answer(number.to_string().into(), || future::ready(Ok(answer(0.5))), own).await.unwrap();
    }
    assert_eq!(cache.entries().await, 10);
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let cache = cache(10, None);
    let failed = cache.answer("a".into(), || future::ready(Err(Failure::Full)), own).await;
    assert_eq!(failed, Err(Failure::Full));
    assert!(cache.answer("a".into(), || future::ready(Ok(answer(0.5))), own).await.is_ok());
    assert_eq!(cache.flights.len(), 0);
}

/// Callers with one text, each of whose runs waits for a permit.
struct Callers {
    cache: Arc<Cache<Failure>>,
    runs: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

type Caller = JoinHandle<Result<Output, Failure>>;

impl Callers {
    fn new(redis: Option<Arc<Redis>>) -> Self {
        Self { cache: cache(10, redis), runs: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }

    /// Starts one whose run, if it comes to that, ends so, and waits until it waits for something.
    async fn start(&self, outcome: Result<Output, Failure>) -> Caller {
        let caller = self.spawn(outcome);
        Self::let_all_wait().await;
        caller
    }

    fn spawn(&self, outcome: Result<Output, Failure>) -> Caller {
        self.spawn_with(outcome, own)
    }

    fn spawn_with(&self, outcome: Result<Output, Failure>, own: fn(&Failure) -> bool) -> Caller {
        let (cache, runs, permits) = (Arc::clone(&self.cache), Arc::clone(&self.runs), Arc::clone(&self.permits));
        tokio::spawn(async move {
            let run = || async {
                runs.fetch_add(1, Ordering::SeqCst);
                permits.acquire().await.unwrap().forget();
                outcome.clone()
            };
            cache.answer("the same".into(), run, own).await
        })
    }

    /// One thread runs a test and its tasks, so afterwards each caller waits for something.
    async fn let_all_wait() {
        for _ in 0..10 {
            task::yield_now().await;
        }
    }

    /// Waits until so many runs have begun.
    async fn until_runs(&self, count: usize) {
        while self.runs.load(Ordering::SeqCst) < count {
            task::yield_now().await;
        }
        assert_eq!(self.runs(), count);
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn equal_texts_in_flight_share_one_run() {
    let callers = Callers::new(None);
    let first = callers.start(Ok(answer(0.5))).await;
    let second = callers.start(Ok(answer(0.6))).await;
    callers.permits.add_permits(1);
    assert_eq!(first.await.unwrap(), second.await.unwrap());
    assert_eq!(callers.runs(), 1);
    let series = &callers.cache.series;
    assert_eq!((series.shared.get(), series.misses.get(), series.hits.get()), (1, 1, 0));
}

#[tokio::test]
async fn a_caller_that_goes_does_not_take_the_others_along() {
    let callers = Callers::new(None);
    let first = callers.start(Ok(answer(0.5))).await;
    let second = callers.start(Ok(answer(0.6))).await;
    first.abort();
    callers.permits.add_permits(1);
    assert_eq!(second.await.unwrap(), Ok(answer(0.6)));
    assert_eq!(callers.runs(), 2);
}

#[tokio::test]
async fn one_caller_outlasts_any_number_that_go() {
    let callers = Callers::new(None);
    let mut others = Vec::new();
    for _ in 0..1000 {
        others.push(callers.start(Ok(answer(0.5))).await);
    }
    let last = callers.start(Ok(answer(0.6))).await;
    for (index, other) in others.into_iter().enumerate() {
        callers.until_runs(index + 1).await;
        other.abort();
        assert!(other.await.unwrap_err().is_cancelled());
    }
    callers.until_runs(1001).await;
    callers.permits.add_permits(1);
    assert_eq!(last.await.unwrap(), Ok(answer(0.6)));
    assert_eq!(callers.cache.flights.len(), 0);
}

#[tokio::test]
async fn a_run_that_panics_is_its_callers_own() {
    let callers = Callers::new(None);
    let (cache, permits) = (Arc::clone(&callers.cache), Arc::clone(&callers.permits));
    let first = tokio::spawn(async move {
        let run = || async {
            permits.acquire().await.unwrap().forget();
            panic!("in a run")
        };
        cache.answer("the same".into(), run, own).await
    });
    Callers::let_all_wait().await;
    let second = callers.start(Ok(answer(0.5))).await;
    callers.permits.add_permits(2);
    assert!(first.await.unwrap_err().is_panic());
    assert_eq!(second.await.unwrap(), Ok(answer(0.5)));
    assert_eq!((callers.runs(), callers.cache.flights.len()), (1, 0));
}

#[tokio::test]
async fn others_take_over_an_error_that_concerns_them_and_no_other() {
    let callers = Callers::new(None);
    let first = callers.start(Err(Failure::TimedOut)).await;
    let second = callers.start(Err(Failure::Full)).await;
    let third = callers.start(Ok(answer(0.5))).await;
    callers.permits.add_permits(2);
    assert_eq!(first.await.unwrap(), Err(Failure::TimedOut));
    assert_eq!(second.await.unwrap(), Err(Failure::Full));
    assert_eq!(third.await.unwrap(), Err(Failure::Full));
    assert_eq!(callers.runs(), 2);
    assert_eq!(callers.cache.series.shared.get(), 0);
}

#[tokio::test]
async fn who_waits_for_a_place_is_not_refused_with_those_who_do_not() {
    let callers = Callers::new(None);
    let first = callers.start(Err(Failure::Full)).await;
    let patient = callers.spawn_with(Ok(answer(0.5)), |_| true);
    Callers::let_all_wait().await;
    let last = callers.start(Ok(answer(0.6))).await;
    callers.permits.add_permits(2);
    assert_eq!(first.await.unwrap(), Err(Failure::Full));
    assert_eq!(patient.await.unwrap(), Ok(answer(0.5)));
    // It came to a flight that had no end yet, and got the better one.
    assert_eq!(last.await.unwrap(), Ok(answer(0.5)));
    assert_eq!(callers.runs(), 2);
}

/// A Redis that holds nothing and is used.
async fn with_redis() -> (Fake, Callers) {
    let fake = Fake::start(|_| Reply::Usual).await;
    let redis = fake.client(&Arc::new(Series::default()));
    redis.is_used().await;
    (fake, Callers::new(Some(redis)))
}

#[tokio::test]
async fn a_hundred_callers_ask_redis_once_and_run_once() {
    let (fake, callers) = with_redis().await;
    let all: Vec<Caller> = (0..100).map(|_| callers.spawn(Ok(answer(0.5)))).collect();
    callers.until_runs(1).await;
    callers.permits.add_permits(100);
    for caller in all {
        assert_eq!(caller.await.unwrap(), Ok(answer(0.5)));
    }
    assert_eq!((fake.lookups(), callers.runs()), (1, 1));
    let series = &callers.cache.series;
    assert_eq!((series.shared.get(), series.misses.get()), (99, 1));
}

#[tokio::test]
async fn a_full_queue_refuses_a_hundred_callers_at_once() {
    let (fake, callers) = with_redis().await;
    callers.permits.add_permits(100);
    let all: Vec<Caller> = (0..100).map(|_| callers.spawn(Err(Failure::Full))).collect();
    for caller in all {
        assert_eq!(caller.await.unwrap(), Err(Failure::Full));
    }
    assert_eq!((fake.lookups(), callers.runs()), (1, 1));
    // Who comes later asks anew.
    assert_eq!(callers.spawn(Ok(answer(0.5))).await.unwrap(), Ok(answer(0.5)));
    assert_eq!((fake.lookups(), callers.runs()), (2, 2));
}

#[tokio::test]
async fn what_redis_said_holds_for_those_who_go_on() {
    let (fake, callers) = with_redis().await;
    let first = callers.spawn(Ok(answer(0.5)));
    callers.until_runs(1).await;
    let second = callers.start(Err(Failure::TimedOut)).await;
    let others: Vec<Caller> = (0..100).map(|_| callers.spawn(Ok(answer(0.6)))).collect();
    Callers::let_all_wait().await;
    // The first goes, the second's time is up.
    first.abort();
    callers.until_runs(2).await;
    callers.permits.add_permits(2);
    assert_eq!(second.await.unwrap(), Err(Failure::TimedOut));
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(answer(0.6)));
    }
    assert_eq!((fake.lookups(), callers.runs()), (1, 3));
}

#[tokio::test]
async fn a_lookup_that_was_given_up_is_made_again() {
    let silent = Arc::new(AtomicUsize::new(1));
    let fake = Fake::start(move |command| {
        let is_first = is_lookup(command) && silent.swap(0, Ordering::SeqCst) == 1;
        if is_first { Reply::Silence } else { Reply::Usual }
    });
    let fake = fake.await;
    let redis = fake.client(&Arc::new(Series::default()));
    redis.is_used().await;
    let callers = Callers::new(Some(redis));
    let first = callers.spawn(Ok(answer(0.5)));
    while fake.lookups() < 1 {
        task::yield_now().await;
    }
    let second = callers.start(Ok(answer(0.6))).await;
    first.abort();
    while fake.lookups() < 2 {
        task::yield_now().await;
    }
    second.abort();
    assert_eq!(callers.runs(), 0);
}

#[tokio::test]
async fn without_memory_equal_texts_in_flight_share_a_lookup_and_a_run_too() {
    let (fake, callers) = with_redis().await;
    let redis = callers.cache.redis().cloned();
    let callers = Callers { cache: Arc::new(Cache::new(None, redis, Arc::new(Series::default()))), ..callers };
    let all: Vec<Caller> = (0..100).map(|_| callers.spawn(Ok(answer(0.5)))).collect();
    callers.until_runs(1).await;
    callers.permits.add_permits(100);
    for caller in all {
        assert_eq!(caller.await.unwrap(), Ok(answer(0.5)));
    }
    assert_eq!((fake.lookups(), callers.runs(), callers.cache.entries().await), (1, 1, 0));
}
