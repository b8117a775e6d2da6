//! Settings, read once from files and the environment into a type that can't be wrong.

mod connections;
mod drift;
mod error;
mod files;
mod host;
mod inference_log;
mod jobs;
mod key_limits;
mod origins;
mod reader;
mod redis;
mod settings;
mod tls;
mod tracing;
mod variables;

use std::{path::PathBuf, sync::Arc, time::Duration};

use ::tracing::Level;
use axum::http::HeaderValue;

pub use connections::ConnectionConfig;
pub use drift::DriftConfig;
pub use error::ConfigError;
pub use files::parse as parse_file;
pub use host::Host;
pub use inference_log::InferenceLogConfig;
pub use jobs::{JobsConfig, QueueLimits};
pub use key_limits::{KeyLimit, KeyLimits, Rate};
pub use reader::Reader;
pub use redis::{RedisConfig, RedisTls};
pub use settings::{Environment, Origin, Settings};
pub use tracing::TracingConfig;
pub use variables::{Secrecy, VARIABLES, Variable};

use engine::EngineConfig;
use model::{LongTexts, ModelConfig, Problem, WrittenAs};

use crate::protocol::{Protocol, Protocols};
use crate::secrets::{ApiKeys, Identity, Live, Watched};

/// Path under which the API is served, unless it is served without.
pub const PREFIX: &str = "/api/v1";

/// Where the service runs; decides the default of the log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A person's own machine.
    Local,
    /// A shared development cluster.
    Development,
    /// A rehearsal of production.
    Staging,
    /// Production.
    Production,
}

impl Profile {
    /// The profile's name as `MLOPS_PROFILE` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// All settings of the server.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Config {
    /// Where the service runs.
    pub profile: Profile,
    /// Where to listen.
    pub host: Host,
    /// TCP port to listen on; 0 lets the kernel choose.
    pub port: u16,
    /// TCP port of the operations side, where it has its own; 0 lets the kernel choose.
    pub management_port: Option<u16>,
    /// TCP port of gRPC, where it is served; 0 lets the kernel choose.
    pub grpc_port: Option<u16>,
    /// The protocols that are served.
    pub protocols: Protocols,
    /// What the public port proves itself with; `None` speaks plain HTTP there.
    pub tls: Option<Arc<Live<Identity>>>,
    /// Serves health, readiness and the series at the top too.
    pub top_level_paths: bool,
    /// Serves the API without its `/api/v1` prefix.
    pub debug: bool,
    /// Serves the series at `/metrics`.
    pub metrics_enabled: bool,
    /// Serves the API's documentation at `/docs`.
    pub docs_enabled: bool,
    /// Keys of which callers must send one; `None` serves everybody.
    pub api_keys: Option<Arc<Live<ApiKeys>>>,
    /// How much each key may ask; `None` sets no limits.
    pub api_key_limits: Option<KeyLimits>,
    /// Origins that browsers may call from.
    pub allowed_origins: Vec<HeaderValue>,
    /// Least severe level that is logged.
    pub log_level: Level,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Limits of connections.
    pub connections: ConnectionConfig,
    /// Longest time a request may take.
    pub request_timeout: Duration,
    /// Longest text in characters.
    pub max_text_length: usize,
    /// Time between SIGTERM and the closing of the listener.
    pub drain: Duration,
    /// File that tells Kubernetes why the process ended.
    pub termination_log: PathBuf,
    /// The model.
    pub model: ModelConfig,
    /// Answers that are kept in memory; `None` keeps none.
    pub cache_entries: Option<usize>,
    /// Memory for them, in bytes.
    pub cache_bytes: usize,
    /// Where answers are kept for all pods; `None` for nowhere.
    pub redis: Option<RedisConfig>,
    /// Where traces are sent; `None` for nowhere.
    pub tracing: Option<TracingConfig>,
    /// How answers are logged; `None` logs none.
    pub inference_log: Option<InferenceLogConfig>,
    /// The queue and the batches.
    pub engine: EngineConfig,
    /// Batch jobs; `None` takes none.
    pub jobs: Option<JobsConfig>,
    /// How predictions are watched for drift; `None` doesn't.
    pub drift: Option<DriftConfig>,
    /// Whether the text, comments and user of a feedback are logged.
    pub feedback_log_content: bool,
}

impl Config {
    /// Reads every setting from the environment alone, or says which variable is wrong.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        Self::of(&environment.clone().into())
    }

    /// Reads every setting, or says which one is wrong.
    pub fn of(settings: &Settings) -> Result<Self, ConfigError> {
        let read = Reader::new(settings);
        read.all_are_text()?;
        let profile = read.required("MLOPS_PROFILE", parse_profile)?;
        let protocols = read.required("MLOPS_PROTOCOLS", Protocols::parse)?;
        let grpc_port = read.required("MLOPS_GRPC_PORT", |v| v.parse().ok())?;
        Ok(Self {
            profile,
            host: read.optional("MLOPS_HOST", Host::parse)?.unwrap_or(Host::Every),
            port: read.required("MLOPS_PORT", |v| v.parse().ok())?,
            management_port: read.optional("MLOPS_MANAGEMENT_PORT", |v| v.parse().ok())?,
            grpc_port: protocols.has(Protocol::Grpc).then_some(grpc_port),
            protocols,
            tls: tls::read(&read)?,
            top_level_paths: read.required("MLOPS_TOP_LEVEL_PATHS", parse_bool)?,
            debug: read.required("MLOPS_DEBUG", parse_bool)?,
            metrics_enabled: read.required("MLOPS_ENABLE_METRICS", parse_bool)?,
            docs_enabled: read.required("MLOPS_DOCS_ENABLED", parse_bool)?,
            api_keys: read.secret("MLOPS_API_KEY", ApiKeys::single, ApiKeys::list)?,
            api_key_limits: read.explained("MLOPS_API_KEY_LIMITS", KeyLimits::parse)?,
            allowed_origins: read.optional("MLOPS_ALLOWED_ORIGINS", origins::parse)?.unwrap_or_default(),
            log_level: read.required("MLOPS_LOG_LEVEL", parse_level)?,
            log_format: read.optional("MLOPS_LOG_FORMAT", parse_format)?.unwrap_or(match profile {
                Profile::Local => LogFormat::Text,
                _ => LogFormat::Json,
            }),
            connections: ConnectionConfig::read(&read)?,
            request_timeout: read.required("MLOPS_MAX_REQUEST_TIMEOUT", |v| seconds(v, 1, 3600))?,
            max_text_length: read.required("MLOPS_MAX_TEXT_LENGTH", |v| within(v, 1, 10_000))?,
            drain: read.required("MLOPS_DRAIN_SECONDS", |v| seconds(v, 0, 3600))?,
            termination_log: read.required("MLOPS_TERMINATION_LOG", |v| Some(v.into()))?,
            model: ModelConfig {
                name: read.required("MLOPS_MODEL_NAME", |v| Some(v.to_owned()))?,
                path: read.required("MLOPS_ONNX_MODEL_PATH", |v| Some(v.into()))?,
                digest: read.optional("MLOPS_MODEL_DIGEST", |v| v.parse().ok())?,
                max_tokens: read.optional("MLOPS_MAX_TOKENS", |v| within(v, 4, 8192))?,
                labels: read.optional("MLOPS_LABELS", parse_list)?,
                neutral_band: read
                    .required("MLOPS_NEUTRAL_BAND", |v| v.parse().ok().filter(|band| (0.0..1.0).contains(band)))?,
                problem: read.optional("MLOPS_PROBLEM_TYPE", Problem::parse)?,
                threshold: read.required("MLOPS_THRESHOLD", |v| v.parse().ok().filter(|t| (0.0..=1.0).contains(t)))?,
                long_texts: read.required("MLOPS_LONG_TEXTS", LongTexts::parse)?,
                split_special_tokens: read.required("MLOPS_SPLIT_SPECIAL_TOKENS", parse_bool)?,
                written: WrittenAs {
                    max_tokens: read.written("MLOPS_MAX_TOKENS"),
                    labels: read.written("MLOPS_LABELS"),
                    neutral_band: read.written("MLOPS_NEUTRAL_BAND"),
                },
            },
            cache_entries: read
                .required("MLOPS_PREDICTION_CACHE_ENABLED", parse_bool)?
                .then_some(read.required("MLOPS_PREDICTION_CACHE_MAX_SIZE", |v| within(v, 1, 1_000_000))?),
            cache_bytes: read.required("MLOPS_PREDICTION_CACHE_MAX_BYTES", |v| within(v, 1 << 20, 64 << 30))?,
            redis: RedisConfig::read(&read)?,
            tracing: TracingConfig::read(&read)?,
            inference_log: InferenceLogConfig::read(&read)?,
            engine: EngineConfig {
                threads: read.optional("MLOPS_THREADS", |v| within(v, 0, 256))?.filter(|threads| *threads > 0),
                max_batch_tokens: read.required("MLOPS_MAX_BATCH_TOKENS", |v| within(v, 16, 1 << 20))?,
                max_batch_size: read.required("MLOPS_MAX_BATCH_SIZE", |v| within(v, 1, 1024))?,
                queue_capacity: read.required("MLOPS_QUEUE_CAPACITY", |v| within(v, 1, 100_000))?,
                max_queue_wait: read.required("MLOPS_MAX_QUEUE_WAIT_MS", |v| milliseconds(v, 1, 3_600_000))?,
            },
            jobs: JobsConfig::read(&read)?,
            drift: DriftConfig::read(&read)?,
            feedback_log_content: read.required("MLOPS_FEEDBACK_LOG_CONTENT", parse_bool)?,
        })
        .and_then(|config| {
            read.required("MLOPS_MODEL_BACKEND", |v| v.eq_ignore_ascii_case("onnx").then_some(()))?;
            let ports = [
                ("MLOPS_PORT", Some(config.port)),
                ("MLOPS_MANAGEMENT_PORT", config.management_port),
                ("MLOPS_GRPC_PORT", config.grpc_port),
            ];
            for (index, (name, port)) in ports.iter().enumerate() {
                // Of two that the kernel chooses, neither is the other.
                let Some(port) = port.filter(|port| *port != 0) else { continue };
                if let Some((other, _)) = ports[..index].iter().find(|(_, other)| *other == Some(port)) {
                    return Err(ConfigError::SamePort { setting: read.written(name), port, other });
                }
            }
            if config.api_key_limits.is_some() && config.api_keys.is_none() {
                // Who sets limits believes that they hold for every caller.
                let setting = read.written("MLOPS_API_KEY_LIMITS");
                return Err(ConfigError::Needs { setting, needs: "MLOPS_API_KEY or MLOPS_API_KEY_FILE is set" });
            }
            Ok(config)
        })
    }

    /// The files of secrets, which may change.
    #[must_use]
    pub fn secret_files(&self) -> Vec<Arc<dyn Watched>> {
        fn watched<T: PartialEq + Send + Sync + 'static>(live: Option<&Arc<Live<T>>>) -> Option<Arc<dyn Watched>> {
            let live = live.filter(|live| live.follows_a_file())?;
            Some(Arc::<Live<T>>::clone(live))
        }
        let password = self.redis.as_ref().and_then(|redis| redis.password.as_ref());
        let headers = self.tracing.as_ref().and_then(|tracing| tracing.headers.as_ref());
        let log = self.inference_log.as_ref().and_then(|log| log.headers.as_ref());
        let (keys, tls) = (watched(self.api_keys.as_ref()), watched(self.tls.as_ref()));
        [keys, tls, watched(password), watched(headers), watched(log)].into_iter().flatten().collect()
    }

    /// Path under which the API is served.
    #[must_use]
    pub fn prefix(&self) -> &'static str {
        if self.debug { "" } else { PREFIX }
    }
}

fn within(value: &str, least: usize, most: usize) -> Option<usize> {
    value.parse().ok().filter(|number| (least..=most).contains(number))
}

fn seconds(value: &str, least: u64, most: u64) -> Option<Duration> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number))?;
    Some(Duration::from_secs(number))
}

fn milliseconds(value: &str, least: u64, most: u64) -> Option<Duration> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number))?;
    Some(Duration::from_millis(number))
}

/// The spellings that the predecessor's settings library accepts.
fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

fn parse_profile(value: &str) -> Option<Profile> {
    [Profile::Local, Profile::Development, Profile::Staging, Profile::Production]
        .into_iter()
        .find(|profile| value.eq_ignore_ascii_case(profile.as_str()))
}

/// Python's level names and Rust's.
fn parse_level(value: &str) -> Option<Level> {
    match value.to_ascii_uppercase().as_str() {
        "TRACE" => Some(Level::TRACE),
        "DEBUG" => Some(Level::DEBUG),
        "INFO" => Some(Level::INFO),
        "WARN" | "WARNING" => Some(Level::WARN),
        "ERROR" | "CRITICAL" => Some(Level::ERROR),
        _ => None,
    }
}

fn parse_format(value: &str) -> Option<LogFormat> {
    match value.to_ascii_lowercase().as_str() {
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        _ => None,
    }
}

/// A JSON list of texts or a comma-separated one; at least one entry, none empty.
fn parse_list(value: &str) -> Option<Vec<String>> {
    let entries: Vec<String> = if value.trim_start().starts_with('[') {
        serde_json::from_str(value).ok()?
    } else {
        value.split(',').map(|entry| entry.trim().to_owned()).collect()
    };
    (!entries.is_empty() && entries.iter().all(|entry| !entry.is_empty())).then_some(entries)
}

#[cfg(test)]
mod secrets_tests;
#[cfg(test)]
mod tests;
