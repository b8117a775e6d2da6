//! Where answers are told to, and how much of them.

use std::{path::PathBuf, sync::Arc};

use axum::http::Uri;

use super::{ConfigError, Reader, Setting, Variable, model::MODEL_NAME};
use crate::secrets::{Headers, Live};

static INFERENCE_LOG_URL: Setting<String> = Setting::other(
    "MLOPS_INFERENCE_LOG_URL",
    "",
    "a URL like http://logger.shop.svc/events, without user, password and query: a token belongs in MLOPS_INFERENCE_LOG_HEADERS or MLOPS_INFERENCE_LOG_HEADERS_FILE",
    "Where each answer is posted to as CloudEvents, in the shape of KServe's logger; default nowhere",
    |v, _| parse_url(v),
);
static INFERENCE_LOG_STDOUT: Setting<bool> =
    Setting::switch("MLOPS_INFERENCE_LOG_STDOUT", "false", "Write each answer as a line of JSON to standard output");
static INFERENCE_LOG_SAMPLE_RATIO: Setting<f64> =
    Setting::number("MLOPS_INFERENCE_LOG_SAMPLE_RATIO", "1", 1.0, "Part of the answers that the inference log has");
static INFERENCE_LOG_TEXT: Setting<bool> =
    Setting::switch("MLOPS_INFERENCE_LOG_TEXT", "false", "Log the texts too, which may be personal");
static INFERENCE_LOG_CAPACITY: Setting<usize> = Setting::count(
    "MLOPS_INFERENCE_LOG_CAPACITY",
    "10000",
    &(1..=1_000_000),
    "records",
    "Records that may wait for a destination of the inference log; one more is dropped and counted",
);
static INFERENCE_LOG_HEADERS: Variable = Variable::secret(
    "MLOPS_INFERENCE_LOG_HEADERS",
    "Headers for the receiver of the inference log, name=value separated by commas, such as its token",
);
static INFERENCE_LOG_HEADERS_FILE: Variable = Variable::secret_file(
    "MLOPS_INFERENCE_LOG_HEADERS_FILE",
    "File of such headers, in place of MLOPS_INFERENCE_LOG_HEADERS; read again when it changes",
);
static INFERENCE_LOG_CA: Setting<PathBuf> = Setting::path(
    "MLOPS_INFERENCE_LOG_CA",
    "",
    "PEM file of authorities for the receiver of the inference log; default the system's",
);
static INFERENCE_LOG_SERVICE: Setting<String> = Setting::text(
    "MLOPS_INFERENCE_LOG_SERVICE",
    "",
    "Service that the inference log names; default the name of the model",
);
static INFERENCE_LOG_NAMESPACE: Setting<String> =
    Setting::text("MLOPS_INFERENCE_LOG_NAMESPACE", "", "Namespace that the inference log names");

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 10] = [
    &INFERENCE_LOG_URL.variable,
    &INFERENCE_LOG_STDOUT.variable,
    &INFERENCE_LOG_SAMPLE_RATIO.variable,
    &INFERENCE_LOG_TEXT.variable,
    &INFERENCE_LOG_CAPACITY.variable,
    &INFERENCE_LOG_HEADERS,
    &INFERENCE_LOG_HEADERS_FILE,
    &INFERENCE_LOG_CA.variable,
    &INFERENCE_LOG_SERVICE.variable,
    &INFERENCE_LOG_NAMESPACE.variable,
];

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
        let service = read.optional(&INFERENCE_LOG_SERVICE)?;
        let config = Self {
            url: read.optional(&INFERENCE_LOG_URL)?,
            stdout: read.required(&INFERENCE_LOG_STDOUT)?,
            sample_ratio: read.required(&INFERENCE_LOG_SAMPLE_RATIO)?,
            text: read.required(&INFERENCE_LOG_TEXT)?,
            capacity: read.required(&INFERENCE_LOG_CAPACITY)?,
            headers: read.secret(
                &INFERENCE_LOG_HEADERS,
                &INFERENCE_LOG_HEADERS_FILE,
                Headers::parse,
                Headers::parse,
            )?,
            authorities: read.optional(&INFERENCE_LOG_CA)?,
            service: match service {
                Some(service) => service,
                None => read.required(&MODEL_NAME)?,
            },
            namespace: read.optional(&INFERENCE_LOG_NAMESPACE)?,
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
