//! The settings of the cache's second level.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{ConfigError, Reader, Setting, Variable};
use crate::secrets::{Live, Secret};

static REDIS_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_REDIS_ENABLED", "false", "Share answers with other pods through Redis");
static REDIS_HOST: Setting<String> = Setting::other(
    "MLOPS_REDIS_HOST",
    "localhost",
    "a host name or an IP address, without scheme and port",
    "Redis' host; REDIS_HOST is read in its place",
    |v, _| parse_host(v),
)
.also("REDIS_HOST");
static REDIS_PORT: Setting<u16> = Setting::short("MLOPS_REDIS_PORT", "6379", &(1..=65535), "Redis' TCP port");
static REDIS_DB: Setting<u16> = Setting::short("MLOPS_REDIS_DB", "0", &(0..=65535), "Number of Redis' database");
static REDIS_USERNAME: Setting<String> =
    Setting::text("MLOPS_REDIS_USERNAME", "", "User of Redis' access control; default its default user");
static REDIS_PASSWORD: Variable = Variable::secret("MLOPS_REDIS_PASSWORD", "Password for Redis");
static REDIS_PASSWORD_FILE: Variable = Variable::secret_file(
    "MLOPS_REDIS_PASSWORD_FILE",
    "File of that password, in place of MLOPS_REDIS_PASSWORD; read again when it changes",
);
static REDIS_TLS: Setting<bool> = Setting::switch("MLOPS_REDIS_TLS", "false", "Talk to Redis by TLS");
static REDIS_TLS_CA: Setting<PathBuf> =
    Setting::path("MLOPS_REDIS_TLS_CA", "", "PEM file of the authorities to trust; default the system's");
static REDIS_LOOKUP_TIMEOUT_MS: Setting<Duration> =
    Setting::milliseconds("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", "50", &(1..=10_000), "Longest wait for a lookup in Redis");
static REDIS_MAX_CONNECTIONS: Setting<usize> = Setting::count(
    "MLOPS_REDIS_MAX_CONNECTIONS",
    "50",
    &(1..=10_000),
    "",
    "Lookups in Redis at once; all share one connection",
);
static REDIS_NAMESPACE: Setting<String> = Setting::other(
    "MLOPS_REDIS_NAMESPACE",
    "kubesentiment",
    "up to 64 printable ASCII characters without spaces",
    "What every key in Redis begins with",
    |v, _| parse_namespace(v),
);
static REDIS_PREDICTION_CACHE_TTL: Setting<Duration> =
    Setting::seconds("MLOPS_REDIS_PREDICTION_CACHE_TTL", "3600", &(1..=31_536_000), "How long Redis keeps an answer");

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 13] = [
    &REDIS_ENABLED.variable,
    &REDIS_HOST.variable,
    &REDIS_PORT.variable,
    &REDIS_DB.variable,
    &REDIS_USERNAME.variable,
    &REDIS_PASSWORD,
    &REDIS_PASSWORD_FILE,
    &REDIS_TLS.variable,
    &REDIS_TLS_CA.variable,
    &REDIS_LOOKUP_TIMEOUT_MS.variable,
    &REDIS_MAX_CONNECTIONS.variable,
    &REDIS_NAMESPACE.variable,
    &REDIS_PREDICTION_CACHE_TTL.variable,
];

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
        let enabled = read.required(&REDIS_ENABLED)?;
        let tls = read.required(&REDIS_TLS)?;
        let authorities = read.optional(&REDIS_TLS_CA)?;
        if authorities.is_some() && !tls {
            // Who names authorities believes that the connection is encrypted.
            return Err(ConfigError::Needs {
                setting: read.written(&REDIS_TLS_CA.variable),
                needs: "MLOPS_REDIS_TLS is true",
            });
        }
        let host = if enabled { read.required(&REDIS_HOST)? } else { String::new() };
        let config = Self {
            host,
            port: read.required(&REDIS_PORT)?,
            database: read.required(&REDIS_DB)?,
            username: read.optional(&REDIS_USERNAME)?,
            password: read.secret(&REDIS_PASSWORD, &REDIS_PASSWORD_FILE, Secret::password, Secret::password)?,
            tls: tls.then_some(RedisTls { authorities }),
            lookup_time: read.required(&REDIS_LOOKUP_TIMEOUT_MS)?,
            lookups_in_flight: read.required(&REDIS_MAX_CONNECTIONS)?,
            namespace: read.required(&REDIS_NAMESPACE)?,
            ttl: read.required(&REDIS_PREDICTION_CACHE_TTL)?,
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
