//! From logits to a label and a score.

use std::sync::Arc;

/// What is answered inside the neutral band.
const NEUTRAL: &str = "NEUTRAL";

/// What [`Labels::judge`] means by `None`, as a sentence.
pub const NO_VERDICT: &str = "the model's output is not one finite number a label";

/// A label and how sure the model is of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The winning label.
    pub label: Arc<str>,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// The model's labels by class.
#[derive(Clone, Debug)]
pub struct Labels {
    names: Vec<Arc<str>>,
    neutral: Arc<str>,
    neutral_band: f32,
}

impl Labels {
    /// Labels by class; a winner less probable than `neutral_band` is NEUTRAL.
    #[must_use]
    pub fn new(names: Vec<String>, neutral_band: f32) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { names, neutral: NEUTRAL.into(), neutral_band }
    }

    /// The names in class order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The label of this name that [`Self::judge`] can answer.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<str>> {
        let neutral = Some(&self.neutral).filter(|_| self.neutral_band > 0.0);
        self.names.iter().chain(neutral).find(|label| &***label == name).cloned()
    }

    /// Winning probability below which the answer is NEUTRAL.
    #[must_use]
    pub fn neutral_band(&self) -> f32 {
        self.neutral_band
    }

    /// Every label that a verdict may have, each once.
    #[must_use]
    pub fn answers(&self) -> Vec<Arc<str>> {
        let neutral = (self.neutral_band > 0.0).then_some(&self.neutral);
        let mut answers: Vec<Arc<str>> = Vec::with_capacity(self.names.len() + 1);
        for label in self.names.iter().chain(neutral) {
            if !answers.contains(label) {
                answers.push(Arc::clone(label));
            }
        }
        answers
    }

    /// The probability of every class, in class order; `None` as for [`Self::judge`]. They sum to 1,
    /// but for a single output, which is a probability by itself.
    #[must_use]
    pub fn probabilities(&self, logits: &[f32]) -> Option<Vec<f32>> {
        let probability = self.probability(logits)?;
        Some(logits.iter().map(|logit| probability(*logit)).collect())
    }

    /// The most probable label. `None` when the logits aren't one finite number for each label.
    #[must_use]
    pub fn judge(&self, logits: &[f32]) -> Option<Verdict> {
        let probability = self.probability(logits)?;
        let (winner, highest) = logits.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let score = probability(highest);
        let label = if score < self.neutral_band { &self.neutral } else { &self.names[winner] };
        Some(Verdict { label: Arc::clone(label), score })
    }

    /// What makes a class's logit its probability; `None` as for [`Self::judge`].
    fn probability(&self, logits: &[f32]) -> Option<impl Fn(f32) -> f32 + use<>> {
        if logits.len() != self.names.len() || logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let single = logits.len() == 1;
        // Softmax relative to the highest logit, so that nothing overflows.
        let highest = logits.iter().copied().max_by(f32::total_cmp)?;
        let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        // One output is a score by itself, which the transformers library reads by the sigmoid.
        Some(move |logit: f32| if single { 1.0 / (1.0 + (-logit).exp()) } else { (logit - highest).exp() / sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str], band: f32) -> Labels {
        Labels::new(names.iter().map(|name| (*name).to_owned()).collect(), band)
    }

    #[test]
    fn the_score_is_the_winners_softmax_probability() {
        let verdict = labels(&["NEGATIVE", "POSITIVE"], 0.0).judge(&[0.0, 3.0_f32.ln()]).unwrap();
        assert_eq!(&*verdict.label, "POSITIVE");
        assert!((verdict.score - 0.75).abs() < 1e-6);
        let verdict = labels(&["a", "b", "c"], 0.0).judge(&[5000.0, 1.0, -5000.0]).unwrap();
        assert_eq!((&*verdict.label, verdict.score), ("a", 1.0));
    }

    #[test]
    fn unsure_is_neutral_inside_the_band_only() {
        let labels = labels(&["NEGATIVE", "POSITIVE"], 0.7);
        assert_eq!(&*labels.judge(&[0.0, 0.5]).unwrap().label, "NEUTRAL");
        assert_eq!(&*labels.judge(&[2.0, 0.5]).unwrap().label, "NEGATIVE");
    }

    #[test]
    fn what_can_be_answered_can_be_found() {
        let found = |band: f32, name: &str| labels(&["NEGATIVE", "POSITIVE"], band).find(name).is_some();
        assert!(found(0.0, "POSITIVE") && found(0.7, "NEUTRAL"));
        assert!(!found(0.0, "NEUTRAL") && !found(0.7, "positive"));
    }

    #[test]
    fn one_output_is_read_by_the_sigmoid() {
        assert!((labels(&["toxic"], 0.0).judge(&[0.0]).unwrap().score - 0.5).abs() < 1e-6);
    }

    #[test]
    fn probabilities_are_of_every_class_and_the_winners_is_the_score() {
        let labels = labels(&["a", "b", "c"], 0.0);
        for logits in [[0.5, -1.0, 2.0], [900.0, -900.0, 899.0], [0.0, 0.0, 0.0]] {
            let probabilities = labels.probabilities(&logits).unwrap();
            assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let highest = probabilities.into_iter().max_by(f32::total_cmp).unwrap();
            assert!((highest - labels.judge(&logits).unwrap().score).abs() < 1e-6);
        }
    }

    #[test]
    fn answers_are_the_labels_and_neutral_where_there_is_a_band() {
        let answers = |names: &[&str], band| labels(names, band).answers().join(" ");
        assert_eq!(answers(&["a", "b"], 0.0), "a b");
        assert_eq!(answers(&["a", "b", "a"], 0.5), "a b NEUTRAL");
        assert_eq!(answers(&["NEUTRAL", "b"], 0.5), "NEUTRAL b");
    }

    #[test]
    fn broken_output_has_no_verdict() {
        let labels = labels(&["NEGATIVE", "POSITIVE"], 0.0);
        assert_eq!(labels.judge(&[f32::NAN, 0.0]), None);
        assert_eq!(labels.judge(&[0.0]), None);
        assert_eq!(labels.probabilities(&[f32::INFINITY, 0.0]), None);
        assert_eq!(labels.probabilities(&[0.0]), None);
    }
}
