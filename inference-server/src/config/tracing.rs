//! Where traces are sent.

use std::{path::PathBuf, sync::Arc};

use axum::http::Uri;

use super::{ConfigError, Reader, parse_bool};
use crate::secrets::{Headers, Live};

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
        let endpoint = read.optional("MLOPS_OTLP_ENDPOINT", parse_endpoint)?;
        let enabled = read.optional("MLOPS_ENABLE_TRACING", parse_bool)?.unwrap_or(endpoint.is_some());
        let config = Self {
            endpoint: endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            authorities: read.optional("MLOPS_OTLP_CA", |value| Some(value.into()))?,
            headers: read.secret("MLOPS_OTLP_HEADERS", Headers::parse, Headers::parse)?,
            sample_ratio: read.required("MLOPS_TRACING_SAMPLE_RATIO", |value| {
                value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
            })?,
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
