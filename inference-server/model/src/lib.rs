//! The model on disk and in memory: a directory in the Hugging Face layout, its labels, its
//! tokenizer and its ONNX Runtime session.

mod config;
pub mod digest;
mod directory;
mod head;
mod held;
mod identity;
mod lenient;
mod long_texts;
mod mapped;
mod model_json;
mod onnx;
mod quantization;
mod runtime;
mod session;
mod tokenizer;
mod wire;

use std::{path::PathBuf, sync::Arc, thread};

pub use config::{ModelConfig, SettingError, WrittenAs};
pub use directory::ModelDirectory;
use engine::{Classify, Input, Tokenize};
pub use head::{Activation, DropError, Entailment, Head, NO_VERDICT, Problem, THRESHOLD, Verdict};
use identity::Sources;
pub use identity::{Digest, Identity, ModelFiles, NoDigest, Provenance, UnknownIdentity, digest_of, files_of};
pub use long_texts::LongTexts;
pub use runtime::Runtime;
pub use session::Padding;
use session::{Limit, Said};
pub use tokenizer::{Reading, Tokenizer, TokenizerFiles};

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
    #[error(
        "model directory {0} holds no *.onnx file; `optimum-cli export onnx --model MODEL --task text-classification {0}` \
         makes one"
    )]
    NoModelFile(PathBuf),
    /// No file that a tokenizer is made of.
    #[error(
        "model directory {} holds no tokenizer.json{}; transformers writes it: \
         AutoTokenizer.from_pretrained({0:?}).save_pretrained({0:?})",
        directory.display(),
        found.map_or(String::new(), |file| format!(", and {file} is not read"))
    )]
    NoTokenizer {
        /// The directory.
        directory: PathBuf,
        /// A tokenizer's file that isn't read.
        found: Option<&'static str>,
    },
    /// What Git LFS leaves where a file should be.
    #[error("{} is a pointer of Git LFS, not the file itself: run `git lfs pull` where it was cloned, and copy it again", .0.display())]
    Pointer(PathBuf),
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
    /// Another model than was asked for.
    #[error("the model's digest is {found}, not {asked} as MLOPS_MODEL_DIGEST has it: it isn't served")]
    OtherDigest {
        /// The digest that was asked for.
        asked: Digest,
        /// That of the files.
        found: Digest,
    },
    /// The model's files can't be hashed.
    #[error(transparent)]
    NoDigest(#[from] UnknownIdentity),
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
    /// What its files say of it.
    pub description: Description,
    session: session::OnnxSession,
}

/// What a model is, beside what serving it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The architecture, as transformers calls it.
    pub family: Option<String>,
    /// The file that the tokenizer is read from.
    pub tokenizer: PathBuf,
    /// Name and type of each input.
    pub inputs: Vec<String>,
    /// The output that is read.
    pub output: String,
    /// The type of most weights.
    pub precision: Option<&'static str>,
    /// Bytes of all files that are read.
    pub bytes: u64,
}

impl Model {
    /// Loads the model that the settings name, and runs it once.
    pub fn load(config: &ModelConfig) -> Result<Self, ModelError> {
        let (sources, (max_tokens, parts)) = Sources::read(&config.path, |sources| {
            if let Some(asked) = config.digest {
                let found = sources.digest()?;
                if found != asked {
                    return Err(ModelError::OtherDigest { asked, found });
                }
            }
            let directory = sources.directory();
            let max_tokens = directory.token_limit(config)?;
            Ok((max_tokens, Parts::read(sources, Reading::of(config, max_tokens))?))
        })?;
        sources.warn();
        let (directory, mut max_tokens) = (sources.directory(), max_tokens);
        let Parts { mut tokenizer, session, is_quantized } = parts;

        if let Some(fixed) = session.fixed_tokens() {
            max_tokens = config.within(max_tokens, fixed)?;
            tokenizer.cut_to(max_tokens);
        }
        let said = Said {
            limit: Limit { tokens: max_tokens, is_declared: directory.declares_positions() },
            is_quantized,
            padding: Padding { id: directory.padding(), is_left: tokenizer.pads_left() },
            first_position: i64::try_from(directory.first_position()).unwrap_or(0),
            labels: directory.named_labels(),
        };
        let tokens = tokenizer.start_of("A warm start.").map_err(|error| ModelError::WarmUp(error.to_string()))?;
        // Before the warm-up, which then maps again what serving needs.
        kernels::forget_code_of_the_start();
        let mut session = session.warm_up(&tokens, said).map_err(ModelError::WarmUp)?;
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
        let is_activated = session.is_distribution || sources.is_activated(session.output());
        let head = directory.head(config, session.outputs(), is_activated)?;
        let description = Description {
            family: directory.family().map(str::to_owned),
            tokenizer: directory.tokenizer.main().to_owned(),
            inputs: session.inputs(),
            output: session.output().to_owned(),
            precision: if is_quantized { Some("int8") } else { sources.precision() },
            bytes: sources.paths().iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum(),
        };
        Ok(Self {
            directory: directory.root.clone(),
            file: directory.model_file.clone(),
            provenance: sources
                .provenance(Reading::of(config, max_tokens), config.digest)
                .without(head.dropped().map(|(class, _)| class)),
            max_tokens,
            head,
            tokenizer: Arc::new(tokenizer),
            description,
            session,
        })
    }

    /// What the model makes of a text, run by itself, before its head reads it: a number for each output.
    pub fn outputs(&self, classifier: &mut dyn Classify, input: &Input<'_>) -> Result<Vec<f32>, String> {
        let encoding = self.tokenizer.tokenize(input).map_err(|error| error.to_string())?;
        let windows = encoding.windows.iter().map(|window| {
            let logits = classifier.classify(&[window])?.into_iter().next().unwrap_or_default();
            Ok((logits, window.ids.len()))
        });
        let windows = windows.collect::<Result<Vec<_>, String>>()?;
        Ok(engine::join(windows.iter().map(|(logits, tokens)| (logits.as_slice(), *tokens))))
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
    is_quantized: bool,
}

impl Parts {
    fn read(sources: &Sources, reading: Reading) -> Result<Self, ModelError> {
        let directory = sources.directory();
        // Side by side: together they take most of the start, and neither needs the other.
        let (tokenizer, session) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::load(&directory.tokenizer, reading));
            let session = Runtime::load().and_then(|runtime| runtime.open(sources.graph()));
            (tokenizer.join(), session)
        });
        let session = session?;
        let tokenizer = tokenizer.unwrap_or_else(|_| {
            let problem = "the tokenizer panicked on it".to_owned();
            Err(ModelError::BadFile { path: directory.tokenizer.main().to_owned(), problem })
        })?;
        let is_quantized = quantization::is_quantized(&directory.model_file);
        Ok(Self { tokenizer, session, is_quantized })
    }
}
