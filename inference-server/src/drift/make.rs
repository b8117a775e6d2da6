//! Makes a baseline of texts that people have at hand.

use std::io::{self, BufRead};

use super::Predictions;
use crate::config::Config;
use model::{Model, ModelError, NO_VERDICT};

/// Why no baseline was made; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The model can't be served.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The texts can't be read.
    #[error("the texts can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A text has no prediction.
    #[error("line {line}: {problem}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Too few or too many texts.
    #[error("there is no baseline in these texts: {0}")]
    Count(String),
    /// The baseline can't be written.
    #[error("the baseline can't be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// The baseline of texts, one a line, by the model that the settings name. Empty lines are left out.
/// Each text is run by itself, so that the same texts make the same baseline.
pub fn make(config: &Config, texts: impl BufRead) -> Result<String, MakeError> {
    let model = Model::load(&config.model)?;
    let mut classifier = model.classifier();
    let mut predictions = Vec::new();
    for (index, text) in texts.lines().enumerate() {
        let text = text?;
        let text = text.trim();
        let bad = |problem: String| MakeError::Line { line: index + 1, problem };
        let characters = text.chars().count();
        if characters == 0 {
            continue;
        }
        if characters > config.max_text_length {
            let most = config.max_text_length;
            return Err(bad(format!("the text has {characters} characters, and MLOPS_MAX_TEXT_LENGTH is {most}")));
        }
        let logits = model.outputs(&mut *classifier, &text.into()).map_err(bad)?;
        let verdict = model.head.judge(&logits);
        let verdict = verdict.ok_or_else(|| bad(NO_VERDICT.to_owned()))?;
        predictions.push((verdict.score, u16::try_from(characters).unwrap_or(u16::MAX), verdict.label));
    }
    let all = predictions.iter().map(|(score, characters, label)| (*score, *characters, &**label));
    let baseline = Predictions::collect(all);
    baseline.check().map_err(MakeError::Count)?;
    Ok(baseline.to_text()?)
}
