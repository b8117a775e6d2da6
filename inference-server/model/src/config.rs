//! Which model is served, and how it is read.

use std::path::PathBuf;

use crate::{Digest, DropError, LongTexts, Problem};

/// Which model is served, and how its output is read.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// Name that answers carry.
    pub name: String,
    /// A directory in the Hugging Face layout, or an ONNX file in one.
    pub path: PathBuf,
    /// The digest that the model's files have to have; `None` takes any.
    pub digest: Option<Digest>,
    /// Tokens a text is cut to, special tokens included; `None` takes the model's own limit.
    pub max_tokens: Option<usize>,
    /// Class names by index; `None` takes `id2label` of the model's `config.json`.
    pub labels: Option<Vec<String>>,
    /// Labels that are left out of the answers.
    pub drop_labels: Option<Vec<String>>,
    /// A winning probability below this is answered as NEUTRAL; 0 turns that off.
    pub neutral_band: f32,
    /// What the model tells; `None` takes `problem_type` of the model's `config.json`.
    pub problem: Option<Problem>,
    /// Score from which on a label of several holds.
    pub threshold: f32,
    /// What is done with a text that is longer than what the model reads at once.
    pub long_texts: LongTexts,
    /// Reads the names of special tokens in a text as text.
    pub split_special_tokens: bool,
    /// What to call the settings that only the model's files can prove wrong.
    pub written: WrittenAs,
}

impl ModelConfig {
    /// So many tokens, of a model that takes at most `most`: fewer where nobody asked for a number.
    pub fn within(&self, tokens: usize, most: usize) -> Result<usize, SettingError> {
        match self.max_tokens {
            Some(asked) if asked > most => {
                Err(SettingError::TooManyTokens { setting: self.written.max_tokens.clone(), asked, most })
            }
            _ => Ok(tokens.min(most)),
        }
    }
}

/// Settings as the user wrote them: a variable, or a key and its file.
#[derive(Clone, Debug)]
pub struct WrittenAs {
    /// [`ModelConfig::max_tokens`].
    pub max_tokens: String,
    /// [`ModelConfig::labels`].
    pub labels: String,
    /// [`ModelConfig::drop_labels`].
    pub drop_labels: String,
    /// [`ModelConfig::neutral_band`].
    pub neutral_band: String,
}

/// A setting that only the model's files can prove wrong; each reads as one sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A setting asks for more than the model can do.
    #[error("{setting} is {asked}, but the model takes at most {most}")]
    TooManyTokens {
        /// The setting as the user wrote it.
        setting: String,
        /// Tokens asked for.
        asked: usize,
        /// Tokens that the model has positions for.
        most: usize,
    },
    /// Another number of labels than the model has classes.
    #[error("{setting} has {given} labels, but the model has {classes} classes")]
    WrongLabelCount {
        /// The setting as the user wrote it.
        setting: String,
        /// Labels in it.
        given: usize,
        /// Classes that the model answers.
        classes: usize,
    },
    /// A neutral band over answers that are no probabilities of labels which exclude each other.
    #[error("{setting} is set, but the model's answers are of {problem}, in which no label is neutral: unset it")]
    NoNeutralBand {
        /// The setting as the user wrote it.
        setting: String,
        /// What the model tells.
        problem: &'static str,
    },
    /// Labels are to be left out that can't be.
    #[error("{setting} {problem}")]
    NotDropped {
        /// The setting as the user wrote it.
        setting: String,
        /// What is wrong with it.
        problem: DropError,
    },
}
