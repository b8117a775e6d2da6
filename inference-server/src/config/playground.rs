//! The page at `/`.

use axum::http::HeaderValue;

use super::{ConfigError, Reader, Setting, Variable, origins};

static PLAYGROUND_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_PLAYGROUND_ENABLED", "true", "Serve browsers a page at / to try the model on");
static PLAYGROUND_ORIGINS: Setting<Vec<HeaderValue>> = Setting::other(
    "MLOPS_PLAYGROUND_ORIGINS",
    "",
    "a JSON or comma-separated list of origins like https://example.com, without *",
    "Origins of other services that the page may ask too, to compare; theirs must hold this one's in MLOPS_ALLOWED_ORIGINS",
    |v, _| origins::parse(v),
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 2] = [&PLAYGROUND_ENABLED.variable, &PLAYGROUND_ORIGINS.variable];

/// Settings of the playground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaygroundConfig {
    /// Origins that the page may ask beside its own.
    pub origins: Vec<HeaderValue>,
}

impl PlaygroundConfig {
    /// Reads the settings; `None` when they turn the page off.
    pub(super) fn read(read: &Reader) -> Result<Option<Self>, ConfigError> {
        let config = Self { origins: read.optional(&PLAYGROUND_ORIGINS)?.unwrap_or_default() };
        Ok(read.required(&PLAYGROUND_ENABLED)?.then_some(config))
    }
}
