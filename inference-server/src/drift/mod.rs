//! Drift: whether what the model answers now still looks like what it answered before. Every
//! prediction is recorded; the latest are compared with a baseline when somebody asks.

pub mod baseline;
mod make;
mod statistics;
mod window;

use std::sync::{Arc, OnceLock};

pub use baseline::{Baseline, BaselineError, Origin, Predictions};
pub use make::{MakeError, make};
pub use statistics::{Sample, stability_index};
pub use window::{Observation, Window};

use crate::config::DriftConfig;
use model::Verdict;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Probability of the winning label.
    Score,
    /// Characters of the text.
    TextLength,
    /// The winning label.
    Label,
}

impl Feature {
    /// Its name in answers and series.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::TextLength => "text_length",
            Self::Label => "label",
        }
    }
}

/// A Kolmogorov-Smirnov test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KsTest {
    /// Largest difference of the two cumulative distributions, 0 to 1.
    pub statistic: f64,
    /// How probable such a difference is without drift.
    pub p_value: f64,
}

/// How far one feature is from the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The feature.
    pub feature: Feature,
    /// Population stability index.
    pub psi: f64,
    /// The test, for a feature that is a number.
    pub ks: Option<KsTest>,
    /// Whether the index is above its threshold, or the test's p-value below its own.
    pub drifted: bool,
}

/// The state of the window, and the comparisons once it holds enough.
#[derive(Debug)]
pub struct Report<'a> {
    /// Predictions that would be compared.
    pub window: usize,
    /// Predictions that the window must hold for a comparison.
    pub min_samples: usize,
    /// What is compared with, once there is something.
    pub baseline: Option<&'a Baseline>,
    /// One for each feature; none before there are enough predictions.
    pub comparisons: Vec<Comparison>,
}

/// Watches the predictions of one model.
pub struct Monitor {
    config: DriftConfig,
    window: Window,
    /// The labels that predictions may have, known once the model is loaded.
    names: OnceLock<Vec<Arc<str>>>,
    baseline: OnceLock<Baseline>,
}

impl Monitor {
    /// A monitor that records nothing until [`Self::start`].
    #[must_use]
    pub fn new(config: DriftConfig) -> Self {
        let window = Window::new(config.window_size);
        Self { config, window, names: OnceLock::new(), baseline: OnceLock::new() }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &DriftConfig {
        &self.config
    }

    /// Starts to record the predictions of a model that has these labels. Without a baseline, the
    /// first full window becomes it. Only the first call counts.
    pub fn start(&self, names: Vec<Arc<str>>, baseline: Option<Baseline>) {
        if let Some(baseline) = baseline {
            // Set before the names, without which nothing is recorded.
            let _ = self.baseline.set(baseline);
        }
        let _ = self.names.set(names);
    }

    /// Records a prediction, in about 20 ns and without a lock.
    pub fn record(&self, verdict: &Verdict, characters: usize) {
        let Some(names) = self.names.get() else {
            return;
        };
        let label = names.iter().position(|name| **name == *verdict.label).unwrap_or(usize::MAX);
        let before = self.window.push(Observation {
            score: verdict.score,
            characters: u16::try_from(characters).unwrap_or(u16::MAX),
            label: u16::try_from(label).unwrap_or(u16::MAX),
        });
        if before + 1 == self.window.size() && self.baseline.get().is_none() {
            let _ = self.baseline.set(self.first_window(names));
        }
    }

    fn first_window(&self, names: &[Arc<str>]) -> Baseline {
        let observations = self.window.since(0);
        let name = |label: u16| names.get(usize::from(label)).map_or("", AsRef::as_ref);
        let predictions =
            Predictions::collect(observations.into_iter().map(|seen| (seen.score, seen.characters, name(seen.label))));
        Baseline::new(Origin::FirstWindow, predictions, names)
    }

    /// Number of the first prediction that is compared: those that became the baseline are not.
    fn first_compared(&self) -> usize {
        match self.baseline.get() {
            Some(Baseline { origin: Origin::FirstWindow, .. }) => self.window.size(),
            _ => 0,
        }
    }

    /// Compares the latest predictions with the baseline.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let baseline = self.baseline.get();
        let first = self.first_compared();
        let window = self.window.len_since(first);
        let min_samples = self.config.min_samples.min(self.window.size());
        let comparisons = match baseline {
            Some(baseline) if window >= min_samples => self.compare(baseline, &self.window.since(first)),
            _ => Vec::new(),
        };
        Report { window, min_samples, baseline, comparisons }
    }

    fn compare(&self, baseline: &Baseline, observations: &[Observation]) -> Vec<Comparison> {
        let numbers = |feature, sample: &Sample, value: fn(&Observation) -> f64| {
            let mut values: Vec<f64> = observations.iter().map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            let statistic = sample.ks_statistic(&values);
            let p_value = sample.ks_p_value(statistic, values.len());
            self.judge(feature, sample.stability_index(&values), Some(KsTest { statistic, p_value }))
        };
        let mut labels = vec![0; baseline.labels.len()];
        for observation in observations {
            if let Some(count) = labels.get_mut(usize::from(observation.label)) {
                *count += 1;
            }
        }
        vec![
            numbers(Feature::Score, &baseline.scores, |seen| f64::from(seen.score)),
            numbers(Feature::TextLength, &baseline.text_lengths, |seen| f64::from(seen.characters)),
            self.judge(Feature::Label, stability_index(&baseline.labels, &labels), None),
        ]
    }

    fn judge(&self, feature: Feature, psi: f64, ks: Option<KsTest>) -> Comparison {
        let drifted = psi > self.config.psi_threshold || ks.is_some_and(|ks| ks.p_value < self.config.ks_threshold);
        Comparison { feature, psi, ks, drifted }
    }
}

#[cfg(test)]
mod tests;
