//! `GET /monitoring/drift`: how far the latest predictions are from a baseline.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    openapi::{Failing, Failures, tags},
};
use crate::{
    clock,
    config::DriftConfig,
    drift::{Baseline, Comparison, Feature, Origin, Report},
    predict::PredictError,
};

/// What stands between the server and a comparison, or what the comparison says.
#[derive(Serialize, ToSchema)]
#[schema(as = DriftStatus)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// The first full window will be the baseline.
    CollectingBaseline,
    /// The window doesn't hold enough predictions.
    Collecting,
    /// No threshold is crossed.
    Stable,
    /// At least one is.
    Drift,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Drift)]
struct Summary {
    status: Status,
    /// Null before there is a comparison.
    drift_detected: Option<bool>,
    /// Predictions of the baseline; 0 while there is none.
    baseline_size: usize,
    /// `file` or `first_window`; null while there is none.
    #[schema(example = "file")]
    baseline_source: Option<&'static str>,
    #[schema(example = "/app/model/drift-baseline.json")]
    baseline_path: Option<String>,
    /// Predictions that are compared with the baseline.
    current_window_size: usize,
    /// Predictions that are compared at most: the latest.
    window_capacity: usize,
    /// Predictions that are compared at least.
    min_samples: usize,
    thresholds: Thresholds,
    features: Features,
    /// Seconds since 1970 (UTC).
    timestamp: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DriftThresholds)]
struct Thresholds {
    /// An index above this is drift.
    psi: f64,
    /// A p-value below this is drift.
    ks_pvalue: f64,
}

/// Each is null before there is a comparison.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = DriftFeatures)]
struct Features {
    /// Probability of the winning label.
    score: Option<FeatureDrift>,
    /// Characters of the text.
    text_length: Option<FeatureDrift>,
    /// The winning label.
    label: Option<FeatureDrift>,
}

#[derive(Serialize, ToSchema)]
struct FeatureDrift {
    /// Population stability index against the baseline.
    #[schema(minimum = 0)]
    psi: f64,
    /// Kolmogorov-Smirnov statistic; null for a feature that is no number.
    #[schema(minimum = 0, maximum = 1)]
    ks_statistic: Option<f64>,
    /// How probable such a statistic is without drift; null for a feature that is no number.
    #[schema(minimum = 0, maximum = 1)]
    ks_pvalue: Option<f64>,
    drift_detected: bool,
}

/// How drift can be out of sight.
pub(super) struct Watching;

impl Failing for Watching {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::DriftOff, PredictError::NotReady.into()]
    }
}

impl FeatureDrift {
    fn new(comparison: &Comparison) -> Self {
        Self {
            psi: comparison.psi,
            ks_statistic: comparison.ks.map(|ks| ks.statistic),
            ks_pvalue: comparison.ks.map(|ks| ks.p_value),
            drift_detected: comparison.drifted,
        }
    }
}

impl Features {
    fn new(comparisons: &[Comparison]) -> Self {
        let mut features = Self::default();
        for comparison in comparisons {
            let place = match comparison.feature {
                Feature::Score => &mut features.score,
                Feature::TextLength => &mut features.text_length,
                Feature::Label => &mut features.label,
            };
            *place = Some(FeatureDrift::new(comparison));
        }
        features
    }
}

/// How far the latest predictions are from the baseline
///
/// Of this server alone: each pod watches its own predictions.
#[utoipa::path(
    get, path = "/monitoring/drift", operation_id = "drift", tag = tags::SERVICE,
    responses((status = OK, description = "The comparison, feature by feature", body = Summary), Failures<Watching>),
)]
pub(super) async fn drift(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let config = app.config.drift.as_ref().ok_or(ApiError::DriftOff)?;
    let model = app.predictor.served().ok_or(PredictError::NotReady)?;
    let monitor = model.drift.as_ref().ok_or(ApiError::DriftOff)?;
    Ok(Json(summary(&monitor.report(), config)).into_response())
}

fn summary(report: &Report<'_>, config: &DriftConfig) -> Summary {
    let compared = !report.comparisons.is_empty();
    let drifted = report.comparisons.iter().any(|comparison| comparison.drifted);
    Summary {
        status: match report.baseline {
            None => Status::CollectingBaseline,
            Some(_) if !compared => Status::Collecting,
            Some(_) if drifted => Status::Drift,
            Some(_) => Status::Stable,
        },
        drift_detected: compared.then_some(drifted),
        baseline_size: report.baseline.map_or(0, |baseline| baseline.scores.len()),
        baseline_source: report.baseline.map(|baseline| match baseline.origin {
            Origin::File(_) => "file",
            Origin::FirstWindow => "first_window",
        }),
        baseline_path: match report.baseline {
            Some(Baseline { origin: Origin::File(path), .. }) => Some(path.display().to_string()),
            _ => None,
        },
        current_window_size: report.window,
        window_capacity: config.window_size,
        min_samples: report.min_samples,
        thresholds: Thresholds { psi: config.psi_threshold, ks_pvalue: config.ks_threshold },
        features: Features::new(&report.comparisons),
        timestamp: clock::unix_seconds(),
    }
}
