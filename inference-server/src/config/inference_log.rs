//! Where answers are told to, and how much of them.

use std::{path::PathBuf, sync::Arc};

use axum::http::Uri;

use super::{ConfigError, Reader, parse_bool, within};
use crate::secrets::{Headers, Live};

/// How answers are logged.
#[derive(Clone, Debug)]
pub struct InferenceLogConfig {
    /// Where CloudEvents are posted to.
    pub url: Option<String>,
    /// Whether each is a line on standard output.
    pub stdout: bool,
    /// Part of the answers that is logged, 0 to 1.
    pub sample_ratio: f64,
    /// Whether with the texts.
    pub text: bool,
    /// Records that may wait for each destination.
    pub capacity: usize,
    /// What is sent along, such as a token.
    pub headers: Option<Arc<Live<Headers>>>,
    /// PEM file of the authorities to trust; `None` trusts the system's.
    pub authorities: Option<PathBuf>,
    /// The service that events name.
    pub service: String,
    /// Its namespace.
    pub namespace: Option<String>,
}

impl InferenceLogConfig {
    /// Reads the settings; `None` when nothing is logged.
    pub(super) fn read(read: &Reader<'_>) -> Result<Option<Self>, ConfigError> {
        let text = |value: &str| Some(value.to_owned());
        let service = read.optional("MLOPS_INFERENCE_LOG_SERVICE", text)?;
        let config = Self {
            url: read.optional("MLOPS_INFERENCE_LOG_URL", parse_url)?,
            stdout: read.required("MLOPS_INFERENCE_LOG_STDOUT", parse_bool)?,
            sample_ratio: read.required("MLOPS_INFERENCE_LOG_SAMPLE_RATIO", |value| {
                value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
            })?,
            text: read.required("MLOPS_INFERENCE_LOG_TEXT", parse_bool)?,
            capacity: read.required("MLOPS_INFERENCE_LOG_CAPACITY", |value| within(value, 1, 1_000_000))?,
            headers: read.secret("MLOPS_INFERENCE_LOG_HEADERS", Headers::parse, Headers::parse)?,
            authorities: read.optional("MLOPS_INFERENCE_LOG_CA", |value| Some(value.into()))?,
            service: match service {
                Some(service) => service,
                None => read.required("MLOPS_MODEL_NAME", text)?,
            },
            namespace: read.optional("MLOPS_INFERENCE_LOG_NAMESPACE", text)?,
        };
        Ok((config.stdout || config.url.is_some()).then_some(config))
    }
}

/// Whole, without what may be a secret: that belongs in a header.
fn parse_url(value: &str) -> Option<String> {
    let uri: Uri = value.parse().ok()?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    uri.authority().filter(|authority| usable && !authority.as_str().contains('@'))?;
    Some(value.to_owned())
}
