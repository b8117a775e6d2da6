//! The response cache, defaults included.

use super::{Invalid, SecretKey, in_range};
use crate::api;

/// Redis' own port.
const DEFAULT_REDIS_PORT: i32 = 6379;
/// The server's own default of `MLOPS_REDIS_PREDICTION_CACHE_TTL`, in seconds.
const DEFAULT_TTL: i32 = 3600;

/// Where answers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// Answers that each pod keeps, where that was given; 0 for none.
    pub memory_entries: Option<i32>,
    /// What all pods share.
    pub redis: Option<Redis>,
}

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: i32,
    /// Number of the database.
    pub database: i32,
    /// Whether by TLS.
    pub tls: bool,
    /// Its password.
    pub password: Option<SecretKey>,
    /// Seconds that an answer is kept.
    pub ttl: i32,
}

pub(super) fn cache(spec: Option<&api::Cache>) -> Result<Cache, Invalid> {
    let spec = spec.cloned().unwrap_or_default();
    let memory_entries = spec.memory.and_then(|memory| memory.max_entries);
    if let Some(entries) = memory_entries {
        in_range("cache.memory.maxEntries", entries, 0, 1_000_000)?;
    }
    Ok(Cache { memory_entries, redis: spec.redis.as_ref().map(redis).transpose()? })
}

fn redis(spec: &api::Redis) -> Result<Redis, Invalid> {
    Ok(Redis {
        host: spec.host.clone(),
        port: in_range("cache.redis.port", spec.port.unwrap_or(DEFAULT_REDIS_PORT), 1, 65535)?,
        database: in_range("cache.redis.database", spec.database.unwrap_or(0), 0, 65535)?,
        tls: spec.tls,
        password: spec.password_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "password")),
        ttl: in_range("cache.redis.ttl", spec.ttl.unwrap_or(DEFAULT_TTL), 1, 31_536_000)?,
    })
}
