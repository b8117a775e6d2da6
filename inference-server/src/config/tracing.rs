//! Where traces are sent.

use std::{path::PathBuf, sync::Arc};

use axum::http::Uri;

use super::{ConfigError, Reader, Setting, Variable};
use crate::secrets::{Headers, Live};

static ENABLE_TRACING: Setting<bool> =
    Setting::switch("MLOPS_ENABLE_TRACING", "", "Send traces to a collector; default true when an endpoint is set");
static OTLP_ENDPOINT: Setting<String> = Setting::other("MLOPS_OTLP_ENDPOINT", "", "a URL like http://collector:4318, where OTLP is spoken over HTTP, without user, password and query: a token belongs in MLOPS_OTLP_HEADERS or MLOPS_OTLP_HEADERS_FILE", "Collector of traces; default http://localhost:4318", |v, _| parse_endpoint(v)).also("OTEL_EXPORTER_OTLP_ENDPOINT");
static OTLP_CA: Setting<PathBuf> =
    Setting::path("MLOPS_OTLP_CA", "", "PEM file of authorities for the collector; default the system's")
        .also("OTEL_EXPORTER_OTLP_CERTIFICATE");
static OTLP_HEADERS: Variable = Variable::secret(
    "MLOPS_OTLP_HEADERS",
    "Headers for the collector, name=value separated by commas, such as its token",
);
static OTLP_HEADERS_FILE: Variable = Variable::secret_file(
    "MLOPS_OTLP_HEADERS_FILE",
    "File of such headers, in place of MLOPS_OTLP_HEADERS; read again when it changes",
);
static TRACING_SAMPLE_RATIO: Setting<f64> = Setting::number(
    "MLOPS_TRACING_SAMPLE_RATIO",
    "1",
    1.0,
    "Part of the traces that begin here which is recorded; 0 records none, whatever callers ask for",
)
.also("OTEL_TRACES_SAMPLER_ARG");

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 6] = [
    &ENABLE_TRACING.variable,
    &OTLP_ENDPOINT.variable,
    &OTLP_CA.variable,
    &OTLP_HEADERS,
    &OTLP_HEADERS_FILE,
    &TRACING_SAMPLE_RATIO.variable,
];

/// Where OTLP over HTTP is spoken when nothing else is said, by its specification.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318/v1/traces";

/// Path of traces below an endpoint, by the same.
const TRACES: &str = "/v1/traces";

/// Headers for the collector, which the exporter reads by itself.
const STANDARD_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The port at which collectors speak gRPC, by the same.
const GRPC_PORT: u16 = 4317;

/// How traces are exported.
#[derive(Clone, Debug)]
pub struct TracingConfig {
    /// Whole URL that batches of spans are posted to.
    pub endpoint: String,
    /// PEM file of the authorities to trust; `None` trusts the system's.
    pub authorities: Option<PathBuf>,
    /// What is sent along, such as a token.
    pub headers: Option<Arc<Live<Headers>>>,
    /// Part of the traces that begin here which is recorded, 0 to 1. At 0 none is.
    pub sample_ratio: f64,
}

impl TracingConfig {
    /// Reads the settings; `None` when tracing is off.
    pub(super) fn read(read: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let endpoint = read.optional(&OTLP_ENDPOINT)?;
        let enabled = read.optional(&ENABLE_TRACING)?.unwrap_or(endpoint.is_some());
        let config = Self {
            endpoint: endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            authorities: read.optional(&OTLP_CA)?,
            headers: read.secret(&OTLP_HEADERS, &OTLP_HEADERS_FILE, Headers::parse, Headers::parse)?,
            sample_ratio: read.required(&TRACING_SAMPLE_RATIO)?,
        };
        if enabled && let Some(headers) = read.of_others(STANDARD_HEADERS)? {
            let wrong = |problem| ConfigError::Secret { place: STANDARD_HEADERS.to_owned(), problem };
            Headers::parse(headers).map_err(wrong)?;
        }
        Ok(enabled.then_some(config))
    }

    /// Whether the port is the one where collectors speak gRPC, which this server doesn't. Settings of version 1
    /// have it.
    #[must_use]
    pub fn is_grpc_port(&self) -> bool {
        self.endpoint.parse::<Uri>().is_ok_and(|uri| uri.port_u16() == Some(GRPC_PORT))
    }
}

fn parse_endpoint(value: &str) -> Option<String> {
    let uri: Uri = value.parse().ok()?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    uri.authority().filter(|authority| usable && !authority.as_str().contains('@'))?;
    let bare = value.trim_end_matches('/');
    Some(if bare.ends_with(TRACES) { bare.to_owned() } else { format!("{bare}{TRACES}") })
}
