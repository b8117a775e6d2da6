//! Labels of a caller's own, for models that say whether one text follows from another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use model::Verdict;

use super::{Call, PredictError, Prediction, Predictor, ServedModel, TEXTS_IN_FLIGHT, Text};
use crate::cache::Output;

/// Candidates of one text, each of which is a run.
pub const MOST_CANDIDATES: usize = 100;

/// What a text may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The labels.
    pub labels: Vec<String>,
    /// What each is put into, in the place of the first `{}`.
    pub template: String,
    /// Whether more than one may hold.
    pub several: bool,
}

impl Predictor {
    /// Scores the candidates for a text: highest first, with the answer that the first of them is. Each is a pair of texts
    /// like any other: batched, and kept.
    pub async fn zero_shot(
        &self,
        model: &ServedModel,
        text: &Text,
        candidates: &Candidates,
        call: Call,
    ) -> Result<(Prediction, Vec<Verdict>), PredictError> {
        let begun = Instant::now();
        let entailment = model.head.entailment().ok_or(PredictError::NoEntailment)?;
        let hypotheses: Vec<Text> = candidates
            .labels
            .iter()
            .map(|label| Text { pair: Some(candidates.template.replacen("{}", label, 1)), ..text.clone() })
            .collect();
        let pairs = hypotheses.into_iter().map(|pair| async move { self.output(model, &pair, call).await });
        let outputs: Vec<(Output, bool)> = stream::iter(pairs).buffered(TEXTS_IN_FLIGHT).try_collect().await?;
        let output_at = Instant::now();
        let ran = outputs.iter().any(|(_, ran)| *ran);
        let outputs: Vec<Output> = outputs.into_iter().map(|(output, _)| output).collect();
        let logits: Vec<&[f32]> = outputs.iter().map(|output| &*output.logits).collect();
        let scores = entailment.scores(&logits, candidates.several).ok_or_else(PredictError::broken_output)?;
        let verdict = |(label, score): (&String, f32)| Verdict { label: label.as_str().into(), score };
        let mut verdicts: Vec<Verdict> = candidates.labels.iter().zip(scores).map(verdict).collect();
        verdicts.sort_by(|a, b| b.score.total_cmp(&a.score));
        let first = verdicts.first().cloned().ok_or_else(PredictError::broken_output)?;
        let whole = Output {
            logits: Arc::default(),
            truncated: outputs.iter().any(|output| output.truncated),
            inference: outputs.iter().map(|output| output.inference).max().unwrap_or(Duration::ZERO),
            cached: outputs.iter().all(|output| output.cached),
        };
        let prediction = self.prediction(model, text, first, whole, call);
        self.statistics.answer(begun, output_at, !ran);
        Ok((prediction, verdicts))
    }
}
