//! Answers that are kept, in memory and in Redis, and equal texts in flight that share one run of
//! the model.

mod redis;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use self::redis::{Parts, Redis, RedisSeries};
use crate::{config::Config, metrics::Metrics, model::Verdict};

/// What a run of the model said about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Label and score.
    pub verdict: Verdict,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// How long the model ran for it; zero when the answer was kept from before.
    pub inference: Duration,
    /// Whether the answer was kept from before the question.
    pub cached: bool,
}

/// The answers to the texts that were asked most, and asked last.
pub struct Cache {
    answers: Option<moka::future::Cache<String, Answer>>,
    redis: Option<Arc<Redis>>,
    metrics: Arc<Metrics>,
}

/// How far this caller's question went; what others did for it doesn't count.
#[derive(Default)]
struct Asked {
    /// Beyond the memory.
    further: AtomicBool,
    /// To a run of the model.
    run: AtomicBool,
}

impl Cache {
    /// The levels that the settings ask for; `None` for none.
    #[must_use]
    pub fn of(config: &Config, metrics: &Arc<Metrics>) -> Option<Self> {
        let redis = config.redis.clone().map(|redis| Arc::new(Redis::new(redis, Arc::clone(metrics))));
        let wanted = config.cache_entries.is_some() || redis.is_some();
        wanted.then(|| Self::new(config.cache_entries, redis, Arc::clone(metrics)))
    }

    /// An empty cache of at most `entries` answers in memory, with Redis behind it.
    #[must_use]
    pub fn new(entries: Option<usize>, redis: Option<Arc<Redis>>, metrics: Arc<Metrics>) -> Self {
        let answers = entries.map(|entries| moka::future::Cache::new(entries as u64));
        Self { answers, redis, metrics }
    }

    /// The kept answer to a text, or the one of a run that an equal text has started, or that of
    /// `run`. When the future that runs is dropped, another that waits runs instead. An error is
    /// shared too, but for those that `own` names: they concern the caller whose run it was, and not
    /// the others, who try for themselves.
    pub async fn answer<E, F>(&self, text: &str, run: impl Fn() -> F, own: impl Fn(&E) -> bool) -> Result<Answer, E>
    where
        E: Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer, E>>,
    {
        let Some(answers) = &self.answers else {
            let asked = Asked::default();
            let answer = self.ask_further(text, &run, &asked).await;
            self.count(&asked);
            return answer;
        };
        if let Some(answer) = answers.get(text).await {
            self.metrics.cache_hits.inc();
            return Ok(Answer { inference: Duration::ZERO, cached: true, ..answer });
        }
        let asked = Asked::default();
        loop {
            // In a box, so that a text that is found doesn't carry so large a future with it.
            let answer = Box::pin(answers.try_get_with_by_ref(text, self.ask_further(text, &run, &asked))).await;
            match answer {
                Err(error) if !asked.further.load(Ordering::Relaxed) && own(&error) => {}
                answer => {
                    self.count(&asked);
                    return answer.map_err(|error| E::clone(&error));
                }
            }
        }
    }

    /// The answer of Redis, or else that of a run, which Redis then gets.
    async fn ask_further<E, F>(&self, text: &str, run: impl Fn() -> F, asked: &Asked) -> Result<Answer, E>
    where
        F: Future<Output = Result<Answer, E>>,
    {
        asked.further.store(true, Ordering::Relaxed);
        let kept_as = self.redis.as_ref().and_then(|redis| Some((redis, redis.key(text)?)));
        if let Some((redis, key)) = &kept_as
            && let Some((verdict, truncated)) = redis.find(key).await
        {
            return Ok(Answer { verdict, truncated, inference: Duration::ZERO, cached: true });
        }
        asked.run.store(true, Ordering::Relaxed);
        let answer = run().await?;
        if let Some((redis, key)) = kept_as {
            redis.keep(key, &answer);
        }
        Ok(answer)
    }

    /// Counts a text that wasn't in memory; what Redis answered, Redis counts.
    fn count(&self, asked: &Asked) {
        if asked.run.load(Ordering::Relaxed) {
            self.metrics.cache_misses.inc();
        } else if !asked.further.load(Ordering::Relaxed) {
            self.metrics.cache_shared.inc();
        }
    }

    /// The second level, if there is one.
    #[must_use]
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.redis.as_ref()
    }

    /// Number of answers that are kept in memory now.
    pub async fn entries(&self) -> usize {
        let Some(answers) = &self.answers else {
            return 0;
        };
        // Without this the count lags behind.
        answers.run_pending_tasks().await;
        usize::try_from(answers.entry_count()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::atomic::AtomicUsize};

    use tokio::sync::Semaphore;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Failure {
        OfTheCaller,
        OfTheText,
    }

    fn own(failure: &Failure) -> bool {
        *failure == Failure::OfTheCaller
    }

    fn answer(score: f32) -> Answer {
        let verdict = Verdict { label: "POSITIVE".into(), score };
        Answer { verdict, truncated: true, inference: Duration::from_millis(5), cached: false }
    }

    fn cache(entries: usize) -> Arc<Cache> {
        Arc::new(Cache::new(Some(entries), None, Arc::new(Metrics::new())))
    }

    #[tokio::test]
    async fn the_first_answer_is_kept() {
        let cache = cache(10);
        for (score, expected, cached) in [(0.5, 0.5, false), (0.6, 0.5, true), (0.7, 0.5, true)] {
            let found = cache.answer("a", || future::ready(Ok(answer(score))), own).await.unwrap();
            assert_eq!((found.verdict.score, found.truncated, found.cached), (expected, true, cached));
            assert_eq!(found.inference.is_zero(), cached);
        }
        assert_eq!((cache.metrics.cache_hits.get(), cache.metrics.cache_misses.get()), (2, 1));
        assert_eq!(cache.entries().await, 1);
    }

    #[tokio::test]
    async fn no_more_answers_are_kept_than_asked_for() {
        let cache = cache(10);
        for number in 0..100 {
            let run = || future::ready(Ok::<_, Failure>(answer(0.5)));
            cache.answer(&number.to_string(), run, own).await.unwrap();
        }
        assert_eq!(cache.entries().await, 10);
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let cache = cache(10);
        let failed = cache.answer("a", || future::ready(Err(Failure::OfTheText)), own).await;
        assert_eq!(failed, Err(Failure::OfTheText));
        assert!(cache.answer("a", || future::ready(Ok(answer(0.5))), own).await.is_ok());
    }

    /// Starts callers with one text, each of whose runs waits for a permit and ends as `outcome` says.
    struct Callers {
        cache: Arc<Cache>,
        runs: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
    }

    impl Callers {
        fn new() -> Self {
            Self { cache: cache(10), runs: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
        }

        async fn start(&self, outcome: Result<Answer, Failure>) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
            let (cache, runs, permits) = (Arc::clone(&self.cache), Arc::clone(&self.runs), Arc::clone(&self.permits));
            let caller = tokio::spawn(async move {
                let run = || async {
                    runs.fetch_add(1, Ordering::SeqCst);
                    permits.acquire().await.unwrap().forget();
                    outcome.clone()
                };
                cache.answer("the same", run, own).await
            });
            Self::let_all_wait().await;
            caller
        }

        /// One thread runs a test and its tasks, so afterwards each caller waits for something.
        async fn let_all_wait() {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn equal_texts_in_flight_share_one_run() {
        let callers = Callers::new();
        let first = callers.start(Ok(answer(0.5))).await;
        let second = callers.start(Ok(answer(0.6))).await;
        callers.permits.add_permits(1);
        assert_eq!(first.await.unwrap(), second.await.unwrap());
        assert_eq!(callers.runs.load(Ordering::SeqCst), 1);
        assert_eq!(callers.cache.metrics.cache_shared.get(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_does_not_take_the_others_along() {
        let callers = Callers::new();
        let first = callers.start(Ok(answer(0.5))).await;
        let second = callers.start(Ok(answer(0.6))).await;
        first.abort();
        callers.permits.add_permits(1);
        assert_eq!(second.await.unwrap(), Ok(answer(0.6)));
        assert_eq!(callers.runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn others_take_over_a_texts_error_and_not_a_callers() {
        let callers = Callers::new();
        let first = callers.start(Err(Failure::OfTheCaller)).await;
        let second = callers.start(Err(Failure::OfTheText)).await;
        let third = callers.start(Ok(answer(0.5))).await;
        callers.permits.add_permits(1);
        assert_eq!(first.await.unwrap(), Err(Failure::OfTheCaller));
        Callers::let_all_wait().await;
        callers.permits.add_permits(1);
        assert_eq!(second.await.unwrap(), Err(Failure::OfTheText));
        assert_eq!(third.await.unwrap(), Err(Failure::OfTheText));
        assert_eq!(callers.runs.load(Ordering::SeqCst), 2);
    }
}
