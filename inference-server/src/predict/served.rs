//! The model that is served, and all that goes with it.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use engine::{Engine, Tokenize};
use model::Head;

use super::PredictError;
use crate::{cache::Cache, drift, recent::RecentPredictions};

/// A model that takes texts. It is replaced as a whole.
pub struct ServedModel {
    /// Name that answers carry.
    pub name: Arc<str>,
    /// Takes texts.
    pub engine: Engine,
    /// Reads what comes out.
    pub head: Head,
    /// The tokenizer, for those who need to know where the model stops to read.
    pub tokenizer: Arc<dyn Tokenize>,
    /// Answers that are kept, unless that is off.
    pub cache: Option<Cache<PredictError>>,
    /// Watches the predictions, unless that is off.
    pub drift: Option<drift::Monitor>,
    /// The latest predictions, for feedback on them.
    pub recent: RecentPredictions,
    /// File that the model was loaded from.
    pub file: PathBuf,
    /// The digest of every file that shapes an answer, as [`Digest`] writes it, once they are hashed.
    ///
    /// [`Digest`]: model::Digest
    pub digest: OnceLock<String>,
    /// Whether its weights are quantized.
    pub is_quantized: bool,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Inference threads.
    pub threads: usize,
}

impl ServedModel {
    /// A model that keeps no answers and isn't watched.
    #[must_use]
    pub fn new(name: &str, engine: Engine, head: Head, tokenizer: Arc<dyn Tokenize>, threads: usize) -> Self {
        Self {
            name: name.into(),
            engine,
            head,
            max_tokens: tokenizer.most_tokens(),
            tokenizer,
            cache: None,
            drift: None,
            recent: RecentPredictions::default(),
            file: PathBuf::new(),
            digest: OnceLock::new(),
            is_quantized: false,
            threads,
        }
    }
}
