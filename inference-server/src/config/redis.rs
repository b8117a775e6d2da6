//! The settings of the cache's second level.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{ConfigError, Reader, milliseconds, parse_bool, seconds, within};
use crate::secrets::{Live, Secret};

/// Longest namespace in bytes: it is in every key.
const LONGEST_NAMESPACE: usize = 64;

/// How Redis is reached, and what is kept there.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Number of the database.
    pub database: u16,
    /// User of Redis' access control; `None` is its default user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Arc<Live<Secret>>>,
    /// TLS; `None` talks in the clear.
    pub tls: Option<RedisTls>,
    /// Longest wait for a lookup.
    pub lookup_time: Duration,
    /// Lookups that may be in flight at once.
    pub lookups_in_flight: usize,
    /// What every key begins with.
    pub namespace: String,
    /// How long an answer is kept.
    pub ttl: Duration,
}

/// How Redis proves who it is.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// PEM file of the authorities to trust; `None` trusts the system's.
    pub authorities: Option<PathBuf>,
}

impl RedisConfig {
    /// Reads the settings; `None` when Redis is off. Wrong ones are refused even then, but for the
    /// host: `REDIS_HOST` may be another program's.
    pub(super) fn read(read: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let enabled = read.required("MLOPS_REDIS_ENABLED", parse_bool)?;
        let tls = read.required("MLOPS_REDIS_TLS", parse_bool)?;
        let authorities = read.optional("MLOPS_REDIS_TLS_CA", |v| Some(v.into()))?;
        if authorities.is_some() && !tls {
            // Who names authorities believes that the connection is encrypted.
            return Err(ConfigError::Needs {
                setting: read.written("MLOPS_REDIS_TLS_CA"),
                needs: "MLOPS_REDIS_TLS is true",
            });
        }
        let host = if enabled { read.required("MLOPS_REDIS_HOST", parse_host)? } else { String::new() };
        let config = Self {
            host,
            port: read.required("MLOPS_REDIS_PORT", |v| v.parse().ok().filter(|port| *port > 0))?,
            database: read.required("MLOPS_REDIS_DB", |v| v.parse().ok())?,
            username: read.optional("MLOPS_REDIS_USERNAME", |v| Some(v.to_owned()))?,
            password: read.secret("MLOPS_REDIS_PASSWORD", Secret::password, Secret::password)?,
            tls: tls.then_some(RedisTls { authorities }),
            lookup_time: read.required("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", |v| milliseconds(v, 1, 10_000))?,
            lookups_in_flight: read.required("MLOPS_REDIS_MAX_CONNECTIONS", |v| within(v, 1, 10_000))?,
            namespace: read.required("MLOPS_REDIS_NAMESPACE", parse_namespace)?,
            ttl: read.required("MLOPS_REDIS_PREDICTION_CACHE_TTL", |v| seconds(v, 1, 31_536_000))?,
        };
        Ok(enabled.then_some(config))
    }
}

/// A name or an address, without scheme and port: those are settings of their own.
fn parse_host(value: &str) -> Option<String> {
    let host = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
    let address = host.parse::<std::net::IpAddr>().is_ok();
    let name = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (address || name).then(|| host.to_owned())
}

fn parse_namespace(value: &str) -> Option<String> {
    let fits = value.len() <= LONGEST_NAMESPACE && value.chars().all(|c| c.is_ascii_graphic());
    fits.then(|| value.to_owned())
}
