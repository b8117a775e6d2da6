//! Series of predictions, and of the model that makes them.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use model::Digest;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::protocol::Protocol;

impl EncodeLabelValue for Protocol {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: Protocol,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    model: Arc<str>,
    digest: String,
}

/// Predictions, and the model that makes them.
#[derive(Debug)]
pub struct Series {
    model_loaded: Gauge,
    model: Family<ModelLabels, Gauge>,
    /// The model that has a series.
    shown: Mutex<Option<ModelLabels>>,
    score: Histogram,
    text_length: Histogram,
    truncated: Counter,
    by_protocol: Family<ProtocolLabels, Counter>,
}

impl Series {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let by_protocol = Family::default();
        for protocol in Protocol::ALL {
            drop(by_protocol.get_or_create(&ProtocolLabels { protocol }));
        }
        Self {
            model_loaded: Gauge::default(),
            model: Family::default(),
            shown: Mutex::default(),
            score: Histogram::new([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]),
            text_length: Histogram::new([10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0]),
            truncated: Counter::default(),
            by_protocol,
        }
    }

    /// Adds them to a registry.
    pub fn register(&self, all: &mut Registry) {
        all.register("sentiment_model_loaded", "1 when the model serves", self.model_loaded.clone());
        let model = self.model.clone();
        all.register("sentiment_model_info", "1 for the model that serves, by the digest of its files", model);
        let score = self.score.clone();
        all.register("sentiment_prediction_score", "Score of the winning label, mostly its probability", score);
        let length = self.text_length.clone();
        all.register("sentiment_text_length_characters", "Characters of the texts", length);
        let truncated = self.truncated.clone();
        all.register("sentiment_texts_truncated", "Texts of which the model read only the start", truncated);
        let predictions = self.by_protocol.clone();
        all.register("sentiment_predictions", "Texts answered, by the protocol that they came by", predictions);
    }

    /// Says that a model serves.
    pub(super) fn set_loaded(&self) {
        self.model_loaded.set(1);
    }

    /// Shows the model that serves, in the place of the one before.
    pub(super) fn show_model(&self, model: &Arc<str>, digest: Digest) {
        let labels = ModelLabels { model: Arc::clone(model), digest: digest.to_string() };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = shown.replace(labels.clone()) {
            self.model.remove(&before);
        }
        self.model.get_or_create(&labels).set(1);
    }

    /// Counts a prediction.
    pub(super) fn observe(&self, protocol: Protocol, score: f32, characters: usize, truncated: bool) {
        self.by_protocol.get_or_create(&ProtocolLabels { protocol }).inc();
        self.score.observe(f64::from(score));
        self.text_length.observe(u32::try_from(characters).map_or(f64::from(u32::MAX), f64::from));
        if truncated {
            self.truncated.inc();
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_is_shown_at_a_time() {
        let series = Series::new();
        let mut registry = Registry::default();
        series.register(&mut registry);
        for byte in [1, 2] {
            series.show_model(&"reviews".into(), Digest::from([byte; 32]));
        }
        series.observe(Protocol::Grpc, 0.9, 7, true);
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
        let models: Vec<&str> = text.lines().filter(|line| line.starts_with("sentiment_model_info{")).collect();
        assert_eq!(
            models,
            [format!("sentiment_model_info{{model=\"reviews\",digest=\"{}\"}} 1", Digest::from([2; 32]))]
        );
        for line in [
            r#"sentiment_predictions_total{protocol="grpc"} 1"#,
            r#"sentiment_predictions_total{protocol="native"} 0"#,
            "sentiment_texts_truncated_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
