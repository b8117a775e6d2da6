//! Series on how good the predictions are: drift and feedback.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::drift::Report;

/// Pairs of labels that get a series of their own; a model of many labels could make millions.
const MOST_PAIRS: usize = 1000;

/// Stands for a predicted label that isn't remembered.
const UNKNOWN: &str = "unknown";

/// Stands for both labels of the pairs above [`MOST_PAIRS`].
const OTHER: &str = "other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeatureLabels {
    feature: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeedbackLabels {
    predicted_label: String,
    corrected_label: String,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// Drift and feedback.
#[derive(Debug, Default)]
pub struct Insight {
    psi: Family<FeatureLabels, FloatGauge>,
    ks_statistic: Family<FeatureLabels, FloatGauge>,
    ks_p_value: Family<FeatureLabels, FloatGauge>,
    drifted: Family<FeatureLabels, Gauge>,
    window: Gauge,
    baseline: Gauge,
    feedback: Family<FeedbackLabels, Counter>,
    /// The pairs that have a series, which a family doesn't tell.
    pairs: Mutex<HashSet<FeedbackLabels>>,
}

impl Insight {
    pub(super) fn register(&self, all: &mut Registry) {
        let psi = "Population stability index of the latest predictions against the baseline";
        all.register("sentiment_drift_psi", psi, self.psi.clone());
        let statistic = "Kolmogorov-Smirnov statistic of the latest predictions against the baseline";
        all.register("sentiment_drift_ks_statistic", statistic, self.ks_statistic.clone());
        let p_value = "Probability of such a Kolmogorov-Smirnov statistic without drift";
        all.register("sentiment_drift_ks_p_value", p_value, self.ks_p_value.clone());
        all.register("sentiment_drift_detected", "1 when a threshold is crossed", self.drifted.clone());
        let window = "Predictions that are compared with the baseline";
        all.register("sentiment_drift_window_predictions", window, self.window.clone());
        let baseline = "Predictions of the baseline, 0 while there is none";
        all.register("sentiment_drift_baseline_predictions", baseline, self.baseline.clone());
        let feedback = "Feedback by the label that was predicted and the one that is right";
        all.register("sentiment_feedback", feedback, self.feedback.clone());
    }

    /// Shows a comparison. Its series are absent until there has been one.
    pub(super) fn show_drift(&self, report: &Report<'_>) {
        let baseline = report.baseline.map_or(0, |baseline| baseline.scores.len());
        self.window.set(i64::try_from(report.window).unwrap_or(i64::MAX));
        self.baseline.set(i64::try_from(baseline).unwrap_or(i64::MAX));
        for comparison in &report.comparisons {
            let labels = FeatureLabels { feature: comparison.feature.as_str() };
            self.psi.get_or_create(&labels).set(comparison.psi);
            self.drifted.get_or_create(&labels).set(i64::from(comparison.drifted));
            if let Some(ks) = comparison.ks {
                self.ks_statistic.get_or_create(&labels).set(ks.statistic);
                self.ks_p_value.get_or_create(&labels).set(ks.p_value);
            }
        }
    }

    /// Counts a feedback. Both labels are the model's or one of the few that are allowed besides.
    pub fn count_feedback(&self, predicted: Option<&str>, corrected: &str) {
        let labels = |predicted: &str, corrected: &str| FeedbackLabels {
            predicted_label: predicted.to_owned(),
            corrected_label: corrected.to_owned(),
        };
        let mut pair = labels(predicted.unwrap_or(UNKNOWN), corrected);
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() < MOST_PAIRS {
            pairs.insert(pair.clone());
        } else if !pairs.contains(&pair) {
            pair = labels(OTHER, OTHER);
        }
        drop(pairs);
        self.feedback.get_or_create(&pair).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn feedback_makes_a_bounded_number_of_series() {
        let metrics = Metrics::new();
        for number in 0..MOST_PAIRS + 5 {
            metrics.insight.count_feedback(Some("POSITIVE"), &number.to_string());
        }
        metrics.insight.count_feedback(None, "NEGATIVE");
        metrics.insight.count_feedback(Some("POSITIVE"), "7");
        let text = metrics.render().unwrap();
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("sentiment_feedback_total{")).collect();
        assert_eq!(series.len(), MOST_PAIRS + 1);
        let pair = |predicted: &str, corrected: &str, count| {
            format!(
                r#"sentiment_feedback_total{{predicted_label="{predicted}",corrected_label="{corrected}"}} {count}"#
            )
        };
        for line in [pair("POSITIVE", "7", 2), pair("POSITIVE", "8", 1), pair("other", "other", 6)] {
            assert!(series.contains(&line.as_str()), "{line}");
        }
    }
}
