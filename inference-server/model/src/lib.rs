//! The model on disk and in memory: a directory in the Hugging Face layout, its labels, its
//! tokenizer and its ONNX Runtime session.

mod config;
pub mod digest;
mod directory;
mod head;
mod held;
mod identity;
mod long_texts;
mod onnx;
mod quantization;
mod session;
mod tokenizer;

use std::{path::PathBuf, sync::Arc, thread};

pub use config::{ModelConfig, SettingError, WrittenAs};
pub use directory::ModelDirectory;
use engine::{Classify, Tokenize};
pub use head::{Activation, Entailment, Head, NO_VERDICT, Problem, THRESHOLD, Verdict};
use identity::Sources;
pub use identity::{Digest, Identity, Provenance, UnknownIdentity};
pub use long_texts::LongTexts;
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
    #[error("config.json names {named} labels, but the model has {classes} classes; MLOPS_LABELS names them otherwise")]
    LabelCount {
        /// Names in `id2label`.
        named: usize,
        /// Classes in the model's output.
        classes: usize,
    },
    /// Files were replaced or written into each time that they were read.
    #[error(
        "the files of {0} change while they are read, so that parts of different models could be served; \
         start the server when all of them are there"
    )]
    Unsettled(PathBuf),
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
    Setting(#[from] SettingError),
}

/// A model, loaded and warm.
pub struct Model {
    /// The directory that it was found in.
    pub directory: PathBuf,
    /// File that the session was made of.
    pub file: PathBuf,
    /// What it was loaded from.
    pub provenance: Provenance,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Reads its outputs.
    pub head: Head,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenize>,
    session: session::OnnxSession,
}

impl Model {
    /// Loads the model that the settings name, and runs it once.
    pub fn load(config: &ModelConfig) -> Result<Self, ModelError> {
        let (sources, (max_tokens, parts)) = Sources::read(&config.path, |directory| {
            let max_tokens = directory.token_limit(config)?;
            Ok((max_tokens, Parts::read(directory, Reading::of(config, max_tokens))?))
        })?;
        let (directory, mut max_tokens) = (sources.directory(), max_tokens);
        let Parts { mut tokenizer, mut session, graph, is_quantized } = parts;

        session.count_positions_from(i64::try_from(directory.first_position()).unwrap_or(0));
        if let Some(fixed) = session.fixed_tokens() {
            max_tokens = config.within(max_tokens, fixed)?;
            tokenizer.cut_to(max_tokens);
        }
        let limit = Limit { tokens: max_tokens, is_declared: directory.declares_positions() };
        let tokens = tokenizer.start_of("A warm start.").map_err(|error| ModelError::WarmUp(error.to_string()))?;
        // Before the warm-up, which then maps again what serving needs.
        kernels::forget_code_of_the_start();
        let mut session = session.warm_up(&tokens, is_quantized, limit).map_err(ModelError::WarmUp)?;
        if session.max_tokens < max_tokens {
            max_tokens = config.within(max_tokens, session.max_tokens)?;
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
        let is_activated = session.is_distribution || sources.is_activated(&graph, &session.output);
        let head = directory.head(config, session.outputs, is_activated)?;
        Ok(Self {
            directory: directory.root.clone(),
            file: directory.model_file.clone(),
            provenance: sources.provenance(&graph, Reading::of(config, max_tokens)),
            max_tokens,
            head,
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

/// What is read from a model's files, but for `config.json`.
struct Parts {
    tokenizer: Tokenizer,
    session: session::ColdSession,
    /// File that the session was made of.
    graph: PathBuf,
    is_quantized: bool,
}

impl Parts {
    fn read(directory: &ModelDirectory, reading: Reading) -> Result<Self, ModelError> {
        // Side by side: together they take most of the start, and neither needs the other.
        let (tokenizer, session) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::load(&directory.tokenizer_file(), reading));
            let session = Runtime::load().and_then(|runtime| runtime.open(&directory.model_file));
            (tokenizer.join(), session)
        });
        let (session, graph) = session?;
        let tokenizer = tokenizer.unwrap_or_else(|_| {
            let problem = "the tokenizer panicked on it".to_owned();
            Err(ModelError::BadFile { path: directory.tokenizer_file(), problem })
        })?;
        let is_quantized = quantization::is_quantized(&directory.model_file);
        Ok(Self { tokenizer, session, graph, is_quantized })
    }
}
