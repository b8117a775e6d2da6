//! How predictions are watched for drift.

use std::path::PathBuf;

use super::{ConfigError, Reader, Setting, Variable, settings::CONFIG_DIR};

static DRIFT_DETECTION_ENABLED: Setting<bool> =
    Setting::switch("MLOPS_DRIFT_DETECTION_ENABLED", "true", "Compare predictions with a baseline");
static DRIFT_WINDOW_SIZE: Setting<usize> = Setting::count(
    "MLOPS_DRIFT_WINDOW_SIZE",
    "1000",
    &(100..=10_000),
    "predictions",
    "Latest predictions that are compared with the baseline",
);
static DRIFT_MIN_SAMPLES: Setting<usize> = Setting::count(
    "MLOPS_DRIFT_MIN_SAMPLES",
    "500",
    &(10..=10_000),
    "predictions",
    "Predictions from which on they are compared; a full window always is",
);
static DRIFT_PSI_THRESHOLD: Setting<f64> =
    Setting::number("MLOPS_DRIFT_PSI_THRESHOLD", "0.1", 10.0, "A population stability index above this is drift");
static DRIFT_KS_THRESHOLD: Setting<f64> = Setting::number(
    "MLOPS_DRIFT_KS_THRESHOLD",
    "0.05",
    1.0,
    "A p-value of the Kolmogorov-Smirnov test below this is drift",
);
static DRIFT_BASELINE_PATH: Setting<PathBuf> = Setting::path(
    "MLOPS_DRIFT_BASELINE_PATH",
    "",
    "Baseline of --make-drift-baseline; default drift-baseline.json in /app/config or the model directory, else the first full window",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 6] = [
    &DRIFT_DETECTION_ENABLED.variable,
    &DRIFT_WINDOW_SIZE.variable,
    &DRIFT_MIN_SAMPLES.variable,
    &DRIFT_PSI_THRESHOLD.variable,
    &DRIFT_KS_THRESHOLD.variable,
    &DRIFT_BASELINE_PATH.variable,
];

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
            window_size: read.required(&DRIFT_WINDOW_SIZE)?,
            min_samples: read.required(&DRIFT_MIN_SAMPLES)?,
            psi_threshold: read.required(&DRIFT_PSI_THRESHOLD)?,
            ks_threshold: read.required(&DRIFT_KS_THRESHOLD)?,
            baseline: read.optional(&DRIFT_BASELINE_PATH)?,
            config_dir: read.required(&CONFIG_DIR)?,
        };
        Ok(read.required(&DRIFT_DETECTION_ENABLED)?.then_some(config))
    }
}
