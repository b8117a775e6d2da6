//! The model on disk and in memory: a directory in the Hugging Face layout, its labels, its
//! tokenizer and its ONNX Runtime session.

mod directory;
mod labels;
mod quantization;
mod session;
mod tokenizer;

use std::{path::PathBuf, sync::Arc, thread};

use crate::{
    config::{Config, ConfigError},
    engine::{Classify, Tokenize},
};
pub use directory::ModelDirectory;
pub use labels::{Labels, NO_VERDICT, Verdict};
use session::Limit;
pub use session::Runtime;
pub use tokenizer::{Reading, Tokenizer};

/// Why a model can't be served; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The path doesn't exist or can't be read.
    #[error("model path {path} can't be read: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No file that is an ONNX model by name.
    #[error("model directory {0} holds no *.onnx file")]
    NoModelFile(PathBuf),
    /// A file has other content than it should.
    #[error("{path} is not usable: {problem}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The model answers another number of classes than it has names for.
    #[error("config.json names {named} labels, but the model has {classes} classes")]
    LabelCount {
        /// Names in `id2label`.
        named: usize,
        /// Classes in the model's output.
        classes: usize,
    },
    /// The first inference failed.
    #[error("the model's first inference failed: {0}")]
    WarmUp(String),
    /// ONNX Runtime itself can't be loaded.
    #[error(
        "ONNX Runtime can't be loaded ({0}); set ORT_DYLIB_PATH to its libonnxruntime.so, \
         which scripts/fetch-onnxruntime.sh fetches"
    )]
    NoRuntime(String),
    /// A setting asks for what the model can't do.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A model, loaded and warm.
pub struct Model {
    /// The directory that it was found in.
    pub directory: PathBuf,
    /// File that the session was made of.
    pub file: PathBuf,
    /// File that the tokenizer was made of.
    pub tokenizer_file: PathBuf,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Reads its output.
    pub labels: Labels,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenize>,
    session: session::OnnxSession,
}

impl Model {
    /// Loads the model that the settings name, and runs it once.
    pub fn load(config: &Config) -> Result<Self, ModelError> {
        let directory = ModelDirectory::open(&config.model.path)?;
        let mut max_tokens = directory.token_limit(&config.model)?;
        let (long_texts, split_special_tokens) = (config.model.long_texts, config.model.split_special_tokens);
        let reading = Reading { max_tokens, long_texts, split_special_tokens };
        // Side by side: together they take most of the start, and neither needs the other.
        let (tokenizer, session) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::load(&directory.tokenizer_file(), reading));
            let session = Runtime::load().and_then(|runtime| runtime.open(&directory.model_file));
            (tokenizer.join(), session)
        });
        let session = session?;
        let mut tokenizer = tokenizer.unwrap_or_else(|_| {
            let problem = "the tokenizer panicked on it".to_owned();
            Err(ModelError::BadFile { path: directory.tokenizer_file(), problem })
        })?;

        if let Some(fixed) = session.fixed_tokens() {
            max_tokens = config.model.within(max_tokens, fixed)?;
            tokenizer.cut_to(max_tokens);
        }
        let limit = Limit { tokens: max_tokens, is_declared: directory.declares_positions() };
        let tokens = tokenizer.start_of("A warm start.").map_err(|error| ModelError::WarmUp(error.to_string()))?;
        let is_quantized = quantization::is_quantized(&directory.model_file);
        // Before the warm-up, which then maps again what serving needs.
        native::forget_code_of_the_start();
        let mut session = session.warm_up(&tokens, is_quantized, limit).map_err(ModelError::WarmUp)?;
        if session.max_tokens < max_tokens {
            max_tokens = config.model.within(max_tokens, session.max_tokens)?;
            tracing::warn!(max_tokens, "the model fails on longer texts, so no more is read at once");
            tokenizer.cut_to(max_tokens);
        }
        if let Some(unknown) = session.first_unknown_id(tokenizer.last_id()) {
            tracing::warn!(
                id = unknown,
                token = tokenizer.token(unknown),
                "the tokenizer has tokens that the model has no row for: texts that hold one are refused"
            );
            tokenizer.refuse_from(unknown);
        }
        let labels = directory.labels(&config.model, session.classes)?;
        let tokenizer_file = directory.tokenizer_file();
        let file = directory.model_file;
        Ok(Self {
            directory: directory.root,
            file,
            tokenizer_file,
            max_tokens,
            labels,
            tokenizer: Arc::new(tokenizer),
            session,
        })
    }

    /// A handle to the model for one worker. The weights are shared by all.
    #[must_use]
    pub fn classifier(&self) -> Box<dyn Classify> {
        Box::new(self.session.clone())
    }
}
