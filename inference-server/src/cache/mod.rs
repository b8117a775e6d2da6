//! Answers that are kept, in memory and in Redis, and equal texts in flight that share one run of
//! the model.

mod flights;
mod key;
mod memory;
mod redis;
mod series;

use std::{sync::Arc, time::Duration};

use engine::Input;

use self::{
    flights::{Flights, Seat},
    key::{Key, Keys},
    memory::Memory,
};
pub use self::{
    memory::Bounds,
    redis::{Connector, Redis, RedisSeries},
    series::Series,
};
use crate::config::Config;

/// What a run of the model said about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// One number a class, raw.
    pub logits: Arc<[f32]>,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// How long the model ran for it; zero when the output was kept from before.
    pub inference: Duration,
    /// Whether the output was kept from before the question.
    pub cached: bool,
}

/// What is kept of an output.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    logits: Arc<[f32]>,
    truncated: bool,
}

impl Output {
    fn of_kept(Kept { logits, truncated }: Kept) -> Self {
        Self { logits, truncated, inference: Duration::ZERO, cached: true }
    }

    fn to_keep(&self) -> Kept {
        Kept { logits: Arc::clone(&self.logits), truncated: self.truncated }
    }
}

/// The answers to the texts that were asked most, and asked last. `E` is how a run fails.
pub struct Cache<E> {
    keys: Keys,
    memory: Option<Memory>,
    flights: Flights<E>,
    redis: Option<Arc<Redis>>,
    series: Arc<Series>,
}

impl<E: Clone> Cache<E> {
    /// The levels that the settings ask for; `None` for none.
    #[must_use]
    pub fn of(config: &Config, series: &Arc<Series>) -> Option<Self> {
        let redis = config.redis.clone().map(|redis| Arc::new(Redis::new(redis, Arc::clone(series))));
        let bounds = config.cache_entries.map(|entries| Bounds { entries, bytes: config.cache_bytes });
        let wanted = bounds.is_some() || redis.is_some();
        wanted.then(|| Self::new(bounds, redis, Arc::clone(series)))
    }

    /// An empty cache of so many answers in memory, or none there, with Redis behind it.
    #[must_use]
    pub fn new(bounds: Option<Bounds>, redis: Option<Arc<Redis>>, series: Arc<Series>) -> Self {
        Self { keys: Keys::new(), memory: bounds.map(Memory::new), flights: Flights::new(), redis, series }
    }

    /// The kept answer to a text, or the one of a run that an equal text has started, or that of
    /// `run`. When the future that runs is dropped, the next that waits runs instead; what Redis said
    /// to the first holds for all. An error is shared too, but for those that `own` names: they concern
    /// the caller whose run it was, and another doesn't take them over.
    pub async fn answer<F>(&self, input: Input<'_>, run: impl Fn() -> F, own: impl Fn(&E) -> bool) -> Result<Output, E>
    where
        F: Future<Output = Result<Output, E>>,
    {
        let key = self.keys.of(&input);
        if let Some(answer) = self.find(key).await {
            return Ok(answer);
        }
        let seat = self.flights.join(key);
        // In a box, so that a text that is found doesn't carry so large a future with it.
        Box::pin(self.ask(&seat, key, &input, run, own)).await
    }

    /// The answer in memory.
    async fn find(&self, key: Key) -> Option<Output> {
        let kept = self.memory.as_ref()?.find(key).await?;
        self.series.hits.inc();
        Some(Output::of_kept(kept))
    }

    /// The answer that another in the flight got, or else that of Redis, or else that of a run, which is then kept.
    async fn ask<F>(
        &self,
        seat: &Seat<'_, E>,
        key: Key,
        input: &Input<'_>,
        run: impl Fn() -> F,
        own: impl Fn(&E) -> bool,
    ) -> Result<Output, E>
    where
        F: Future<Output = Result<Output, E>>,
    {
        let mut progress = seat.turn().await;
        match &progress.end {
            Some(Err(error)) if own(error) => {}
            Some(end) => {
                if end.is_ok() {
                    self.series.shared.inc();
                }
                return end.clone();
            }
            // Another flight may have ended between the first look and this one.
            None => {
                if let Some(answer) = self.find(key).await {
                    return Ok(answer);
                }
            }
        }
        let kept_as = self.redis.as_ref().and_then(|redis| Some((redis, redis.key(input)?)));
        let found = match &kept_as {
            Some((redis, key)) if !progress.redis_was_asked => {
                let found = redis.find(key).await;
                progress.redis_was_asked = true;
                found
            }
            _ => None,
        };
        let outcome = if let Some(kept) = found {
            Ok(Output::of_kept(kept))
        } else {
            let outcome = run().await;
            self.series.misses.inc();
            if let (Some((redis, key)), Ok(answer)) = (kept_as, &outcome) {
                redis.keep(key, &answer.to_keep());
            }
            outcome
        };
        if let (Some(memory), Ok(answer)) = (&self.memory, &outcome) {
            memory.keep(key, answer.to_keep()).await;
        }
        if !matches!(&outcome, Err(error) if own(error)) {
            progress.end = Some(outcome.clone());
            seat.close();
        }
        outcome
    }

    /// The second level, if there is one.
    #[must_use]
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.redis.as_ref()
    }

    /// Number of answers that are kept in memory now.
    pub async fn entries(&self) -> usize {
        match &self.memory {
            Some(memory) => memory.entries().await,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests;
