//! How predictions are watched for drift.

use std::path::PathBuf;

use super::{ConfigError, Reader, parse_bool, settings::CONFIG_DIR, within};

/// Settings of the drift monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftConfig {
    /// Latest predictions that are compared with the baseline.
    pub window_size: usize,
    /// Predictions from which on they are compared; a full window always is.
    pub min_samples: usize,
    /// A population stability index above this is drift.
    pub psi_threshold: f64,
    /// A p-value of the Kolmogorov-Smirnov test below this is drift.
    pub ks_threshold: f64,
    /// The baseline's file; `None` looks for one in `config_dir`, then beside the model.
    pub baseline: Option<PathBuf>,
    /// The folder of settings.
    pub config_dir: PathBuf,
}

impl DriftConfig {
    /// Reads the settings; `None` when they turn the monitor off.
    pub(super) fn read(read: &Reader) -> Result<Option<Self>, ConfigError> {
        let config = Self {
            window_size: read.required("MLOPS_DRIFT_WINDOW_SIZE", |v| within(v, 100, 10_000))?,
            min_samples: read.required("MLOPS_DRIFT_MIN_SAMPLES", |v| within(v, 10, 10_000))?,
            psi_threshold: read.required("MLOPS_DRIFT_PSI_THRESHOLD", |v| number(v, 10.0))?,
            ks_threshold: read.required("MLOPS_DRIFT_KS_THRESHOLD", |v| number(v, 1.0))?,
            baseline: read.optional("MLOPS_DRIFT_BASELINE_PATH", |v| Some(v.into()))?,
            config_dir: read.raw(CONFIG_DIR).into(),
        };
        Ok(read.required("MLOPS_DRIFT_DETECTION_ENABLED", parse_bool)?.then_some(config))
    }
}

fn number(value: &str, most: f64) -> Option<f64> {
    value.parse().ok().filter(|number| (0.0..=most).contains(number))
}
