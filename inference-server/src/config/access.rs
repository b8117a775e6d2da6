//! Who may call, and how much.

use std::sync::Arc;

use axum::http::HeaderValue;

use super::{ConfigError, KeyLimits, Reader, Setting, Variable, origins};
use crate::secrets::{ApiKeys, Live};

static API_KEY: Variable =
    Variable::secret("MLOPS_API_KEY", "Key that callers must send as X-API-Key, or as Authorization: Bearer");
static API_KEY_FILE: Variable = Variable::secret_file(
    "MLOPS_API_KEY_FILE",
    "File of such keys, in place of MLOPS_API_KEY: name: key a line, or one key alone; read again when it changes",
);
static API_KEY_LIMITS: Variable = Variable::new("MLOPS_API_KEY_LIMITS", "", "a JSON list", "Limits by the names of keys, * for every other: [{\"name\": \"shop\", \"requestsPerSecond\": 10, \"burst\": 20, \"concurrency\": 4}]").of_objects();
static ALLOWED_ORIGINS: Setting<Vec<HeaderValue>> = Setting::other(
    "MLOPS_ALLOWED_ORIGINS",
    "",
    "a JSON or comma-separated list of origins like https://example.com, without *",
    "Origins that browsers may call from",
    |v, _| origins::parse(v),
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 4] = [&API_KEY, &API_KEY_FILE, &API_KEY_LIMITS, &ALLOWED_ORIGINS.variable];

/// Keys of which callers must send one.
pub(super) fn keys(read: &Reader<'_>) -> Result<Option<Arc<Live<ApiKeys>>>, ConfigError> {
    read.secret(&API_KEY, &API_KEY_FILE, ApiKeys::single, ApiKeys::list)
}

/// How much each key may ask.
pub(super) fn limits(read: &Reader<'_>, keys: Option<&Arc<Live<ApiKeys>>>) -> Result<Option<KeyLimits>, ConfigError> {
    let limits = read.explained(&API_KEY_LIMITS, KeyLimits::parse)?;
    if limits.is_some() && keys.is_none() {
        // Who sets limits believes that they hold for every caller.
        let setting = read.written(&API_KEY_LIMITS);
        return Err(ConfigError::Needs { setting, needs: "MLOPS_API_KEY or MLOPS_API_KEY_FILE is set" });
    }
    Ok(limits)
}

/// Origins that browsers may call from.
pub(super) fn origins(read: &Reader<'_>) -> Result<Vec<HeaderValue>, ConfigError> {
    Ok(read.optional(&ALLOWED_ORIGINS)?.unwrap_or_default())
}
