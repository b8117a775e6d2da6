//! Series of the cache.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::RedisSeries;

/// The cache, both levels.
#[derive(Debug, Default)]
pub struct Series {
    /// Texts whose answer was kept from before.
    pub hits: Counter,
    /// Texts that the cache was asked for and that were run.
    pub misses: Counter,
    /// Texts that were answered by the run of an equal one.
    pub shared: Counter,
    /// The second level.
    pub redis: RedisSeries,
}

impl Series {
    /// Says that Redis is wanted and not there yet.
    pub fn expect_redis(&self) {
        self.redis.breaker_open.set(1);
    }

    /// Adds them to a registry.
    pub fn register(&self, all: &mut Registry) {
        all.register("sentiment_cache_hits", "Texts answered from the cache", self.hits.clone());
        let misses = self.misses.clone();
        all.register("sentiment_cache_misses", "Texts that were not in the cache and were run", misses);
        let shared = self.shared.clone();
        all.register("sentiment_cache_shared", "Texts answered by the run of an equal one", shared);
        self.redis.register(all);
    }
}
