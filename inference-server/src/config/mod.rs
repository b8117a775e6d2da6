//! Settings, read once from files and the environment into a type that can't be wrong.

mod access;
mod cache;
mod connections;
mod drift;
mod engine;
mod error;
mod files;
mod host;
mod inference_log;
mod jobs;
mod key_limits;
mod model;
mod origins;
mod playground;
mod reader;
mod redis;
mod setting;
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
pub use playground::PlaygroundConfig;
pub use reader::Reader;
pub use redis::{RedisConfig, RedisTls};
pub use setting::{Secrecy, Setting, Variable};
pub use settings::{Environment, Origin, Settings};
pub use tracing::TracingConfig;
pub use variables::variables;

use ::engine::EngineConfig;
use ::model::ModelConfig;

use crate::protocol::{Protocol, Protocols};
use crate::secrets::{ApiKeys, Identity, Live, Watched};

/// Path under which the API is served, unless it is served without.
pub const PREFIX: &str = "/api/v1";

static PROFILE: Setting<Profile> = Setting::other(
    "MLOPS_PROFILE",
    "production",
    "local, development, staging or production",
    "Where the service runs; local logs as text",
    |v, _| parse_profile(v),
);
static HOST: Setting<Host> = Setting::other(
    "MLOPS_HOST",
    "",
    "an IP address or localhost",
    "Address to listen on; default every one of IPv4 and IPv6, as far as there are any",
    |v, _| Host::parse(v),
);
/// The port of HTTP.
pub static PORT: Setting<u16> = Setting::port("MLOPS_PORT", "8000", "TCP port to listen on");
/// That of the operations side.
pub static MANAGEMENT_PORT: Setting<u16> = Setting::port(
    "MLOPS_MANAGEMENT_PORT",
    "",
    "TCP port of its own for health, readiness, metrics, details and documentation, without key; default none",
);
static PROTOCOLS: Setting<Protocols> = Setting::other(
    "MLOPS_PROTOCOLS",
    "native,oip,grpc,kserve,tei,vllm",
    "a comma-separated list of native, oip, grpc, kserve, tei and vllm",
    "Protocols that texts are taken by: version 1's own, the Open Inference Protocol over REST and gRPC, KServe's version 1, text-embeddings-inference and the Hub, vLLM's and Infinity's /classify",
    |v, _| Protocols::parse(v),
);
/// That of gRPC.
pub static GRPC_PORT: Setting<u16> =
    Setting::port("MLOPS_GRPC_PORT", "8001", "TCP port of the Open Inference Protocol over gRPC, where it is served");
static TOP_LEVEL_PATHS: Setting<bool> = Setting::switch(
    "MLOPS_TOP_LEVEL_PATHS",
    "true",
    "Serve health, readiness and metrics at the top too, as load balancers ask for them",
);
static DEBUG: Setting<bool> = Setting::switch("MLOPS_DEBUG", "false", "Serve the API without the prefix /api/v1");
static ENABLE_METRICS: Setting<bool> = Setting::switch("MLOPS_ENABLE_METRICS", "true", "Serve the series at /metrics");
static DOCS_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_DOCS_ENABLED", "true", "Serve the API's documentation at /docs");
static LOG_LEVEL: Setting<Level> = Setting::other(
    "MLOPS_LOG_LEVEL",
    "INFO",
    "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "Least severe level that is logged",
    |v, _| parse_level(v),
);
static LOG_FORMAT: Setting<LogFormat> =
    Setting::other("MLOPS_LOG_FORMAT", "", "json or text", "How log lines are written; default json", |v, _| {
        parse_format(v)
    });
static MAX_REQUEST_TIMEOUT: Setting<Duration> =
    Setting::seconds("MLOPS_MAX_REQUEST_TIMEOUT", "30", &(1..=3600), "Longest time a request may take");
static MAX_TEXT_LENGTH: Setting<usize> =
    Setting::count("MLOPS_MAX_TEXT_LENGTH", "10000", &(1..=10_000), "characters", "Longest text");
static DRAIN_SECONDS: Setting<Duration> =
    Setting::seconds("MLOPS_DRAIN_SECONDS", "5", &(0..=3600), "How long to serve on after SIGTERM, not ready");
static TERMINATION_LOG: Setting<PathBuf> =
    Setting::path("MLOPS_TERMINATION_LOG", "/dev/termination-log", "File that tells Kubernetes why a start failed");
static FEEDBACK_LOG_CONTENT: Setting<bool> = Setting::switch(
    "MLOPS_FEEDBACK_LOG_CONTENT",
    "false",
    "Log a feedback's text, comments and user too, which may be personal data",
);

/// In the order of `--help`.
static SETTINGS: [&Variable; 16] = [
    &PROFILE.variable,
    &HOST.variable,
    &PORT.variable,
    &MANAGEMENT_PORT.variable,
    &PROTOCOLS.variable,
    &GRPC_PORT.variable,
    &TOP_LEVEL_PATHS.variable,
    &DEBUG.variable,
    &ENABLE_METRICS.variable,
    &DOCS_ENABLED.variable,
    &LOG_LEVEL.variable,
    &LOG_FORMAT.variable,
    &MAX_REQUEST_TIMEOUT.variable,
    &MAX_TEXT_LENGTH.variable,
    &DRAIN_SECONDS.variable,
    &TERMINATION_LOG.variable,
];

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
    /// The page at `/`; `None` serves none.
    pub playground: Option<PlaygroundConfig>,
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
        let profile = read.required(&PROFILE)?;
        let protocols = read.required(&PROTOCOLS)?;
        let grpc_port = read.required(&GRPC_PORT)?;
        let api_keys = access::keys(&read)?;
        let (cache_entries, cache_bytes) = cache::read(&read)?;
        let config = Self {
            profile,
            host: read.optional(&HOST)?.unwrap_or(Host::Every),
            port: read.required(&PORT)?,
            management_port: read.optional(&MANAGEMENT_PORT)?,
            grpc_port: protocols.has(Protocol::Grpc).then_some(grpc_port),
            protocols,
            tls: tls::read(&read)?,
            top_level_paths: read.required(&TOP_LEVEL_PATHS)?,
            debug: read.required(&DEBUG)?,
            metrics_enabled: read.required(&ENABLE_METRICS)?,
            docs_enabled: read.required(&DOCS_ENABLED)?,
            playground: PlaygroundConfig::read(&read)?,
            api_key_limits: access::limits(&read, api_keys.as_ref())?,
            api_keys,
            allowed_origins: access::origins(&read)?,
            log_level: read.required(&LOG_LEVEL)?,
            log_format: read.optional(&LOG_FORMAT)?.unwrap_or(match profile {
                Profile::Local => LogFormat::Text,
                _ => LogFormat::Json,
            }),
            connections: ConnectionConfig::read(&read)?,
            request_timeout: read.required(&MAX_REQUEST_TIMEOUT)?,
            max_text_length: read.required(&MAX_TEXT_LENGTH)?,
            drain: read.required(&DRAIN_SECONDS)?,
            termination_log: read.required(&TERMINATION_LOG)?,
            model: model::read(&read)?,
            cache_entries,
            cache_bytes,
            redis: RedisConfig::read(&read)?,
            tracing: TracingConfig::read(&read)?,
            inference_log: InferenceLogConfig::read(&read)?,
            engine: engine::read(&read)?,
            jobs: JobsConfig::read(&read)?,
            drift: DriftConfig::read(&read)?,
            feedback_log_content: read.required(&FEEDBACK_LOG_CONTENT)?,
        };
        let ports = [
            (&PORT.variable, Some(config.port)),
            (&MANAGEMENT_PORT.variable, config.management_port),
            (&GRPC_PORT.variable, config.grpc_port),
        ];
        for (index, (variable, port)) in ports.iter().enumerate() {
            // Of two that the kernel chooses, neither is the other.
            let Some(port) = port.filter(|port| *port != 0) else { continue };
            if let Some((other, _)) = ports[..index].iter().find(|(_, other)| *other == Some(port)) {
                return Err(ConfigError::SamePort { setting: read.written(variable), port, other: other.name });
            }
        }
        Ok(config)
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
