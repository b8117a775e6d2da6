//! What two servers must have in common to give equal answers.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};

use super::{ModelDirectory, ModelError, Reading, held::HeldFile, onnx::Contents, session::varlen_file};
use crate::digest::push_hex;

/// SHA-256. `Display` is as images have it: `sha256:` and hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        push_hex(&mut text, &self.0);
        f.write_str(&text)
    }
}

impl Digest {
    /// The first half in hexadecimal, enough to tell it from any other.
    #[must_use]
    pub fn half(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.0[..16]);
        text
    }
}

/// Which model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of every file that shapes an answer.
    pub model: Digest,
    /// Of those and the settings that change which numbers the model answers with; equal for equal numbers.
    pub outputs: Digest,
}

/// Why the identity of a model that serves isn't known.
#[derive(Debug, thiserror::Error)]
pub enum UnknownIdentity {
    /// A file can't be read, or not as what it should be.
    #[error("the model's file {path} can't be read for its hash: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said, or what is wrong with it.
        source: io::Error,
    },
    /// A file was written into while the model was loaded from it, or before it was hashed.
    #[error(
        "{0} was written into after the model was loaded, so what this server answers with has no known hash; replace \
         files of a model by others under their names, and start the server again"
    )]
    Changed(PathBuf),
}

/// Times that files are read that change meanwhile.
const MOST_TRIES: usize = 3;

/// The files that a model is loaded from, held open.
pub(super) struct Sources {
    directory: ModelDirectory,
    tokenizer: HeldFile,
    model: Graph,
    /// The graph beside it for batches without padding, and where it is or would be.
    varlen: (PathBuf, Option<Graph>),
}

/// An ONNX file and those that its weights are in.
struct Graph {
    file: HeldFile,
    /// What can't be read here, ONNX Runtime can't read either, and has more to say about it.
    contents: Result<(Contents, Vec<(String, HeldFile)>), UnknownIdentity>,
}

impl Graph {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = HeldFile::open(path).map_err(|source| ModelError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { contents: Self::contents(&file), file })
    }

    fn contents(file: &HeldFile) -> Result<(Contents, Vec<(String, HeldFile)>), UnknownIdentity> {
        let unreadable = |path: &Path, source| UnknownIdentity::Unreadable { path: path.to_owned(), source };
        let contents = file.start().and_then(Contents::read).map_err(|source| unreadable(file.path(), source))?;
        let open = |location: &String| {
            let path = file.path().with_file_name(location);
            let held = HeldFile::open(&path).map_err(|source| unreadable(&path, source))?;
            Ok((location.clone(), held))
        };
        let weights = contents.locations.iter().map(open).collect::<Result<_, _>>()?;
        Ok((contents, weights))
    }

    fn is_current(&self) -> bool {
        let mut weights = self.contents.iter().flat_map(|(_, weights)| weights);
        self.file.is_current() && weights.all(|(_, file)| file.is_current())
    }
}

impl Sources {
    /// Reads a model's files by their names, again while they change. What is read is then what is held here.
    pub(super) fn read<T>(
        path: &Path,
        mut read: impl FnMut(&ModelDirectory) -> Result<T, ModelError>,
    ) -> Result<(Self, T), ModelError> {
        for _ in 0..MOST_TRIES {
            let sources = Self::open(ModelDirectory::open(path)?)?;
            let outcome = read(&sources.directory);
            if sources.are_current() {
                return Ok((sources, outcome?));
            }
            // Even an error says nothing about files of which not all were there yet.
            let root = sources.directory.root.display();
            tracing::warn!(directory = %root, "the model's files changed while they were read, so they are read again");
        }
        Err(ModelError::Unsettled(path.to_owned()))
    }

    /// Opens everything that loading may read.
    fn open(directory: ModelDirectory) -> Result<Self, ModelError> {
        let path = directory.tokenizer_file();
        let tokenizer = HeldFile::open(&path).map_err(|source| ModelError::Unreadable { path, source })?;
        let model = Graph::open(&directory.model_file)?;
        let beside = varlen_file(&directory.model_file);
        let varlen = if beside.is_file() { Some(Graph::open(&beside)?) } else { None };
        Ok(Self { directory, tokenizer, model, varlen: (beside, varlen) })
    }

    pub(super) fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// Whether every name leads to the file that it led to, and nothing was written into one.
    fn are_current(&self) -> bool {
        let varlen = match &self.varlen {
            (_, Some(graph)) => graph.is_current(),
            (beside, None) => !beside.is_file(),
        };
        varlen && self.directory.is_current() && self.tokenizer.is_current() && self.model.is_current()
    }

    /// What the model that was loaded is made of. `graph` is the file that its session was made of.
    pub(super) fn provenance(self, graph: &Path, reading: Reading) -> Provenance {
        let graph = match self.varlen.1 {
            Some(varlen) if varlen.file.path() == graph => varlen,
            _ => self.model,
        };
        Provenance { config: self.directory.into_config(), tokenizer: self.tokenizer, graph, reading }
    }

    /// Whether a softmax or a sigmoid makes an output of a graph.
    pub(super) fn is_activated(&self, graph: &Path, output: &str) -> bool {
        let varlen = self.varlen.1.as_ref().filter(|varlen| varlen.file.path() == graph);
        let contents = &varlen.unwrap_or(&self.model).contents;
        contents.as_ref().is_ok_and(|(contents, _)| contents.is_activated(output))
    }
}

/// What a model that serves was loaded from, to be hashed when there is time for it.
pub struct Provenance {
    config: HeldFile,
    tokenizer: HeldFile,
    graph: Graph,
    reading: Reading,
}

impl Provenance {
    /// Reads the files, which takes a second for each gigabyte or so.
    pub fn identify(self) -> Result<Identity, UnknownIdentity> {
        let mut files = Parts::new();
        files.add("config", &contents(&self.config)?);
        files.add("tokenizer", &contents(&self.tokenizer)?);
        files.add("graph", &contents(&self.graph.file)?);
        for (location, file) in self.graph.contents?.1 {
            files.add("location", location.as_bytes());
            files.add("weights", &contents(&file)?);
        }
        let model = files.finish();
        // Every setting that changes a number has to be here, under a name of its own.
        let Reading { max_tokens, long_texts, split_special_tokens } = self.reading;
        let mut outputs = Parts::new();
        outputs.add("model", &model.0);
        outputs.add("long_texts", &[long_texts as u8]);
        outputs.add("split_special_tokens", &[u8::from(split_special_tokens)]);
        outputs.add("max_tokens", &(max_tokens as u64).to_le_bytes());
        Ok(Identity { model, outputs: outputs.finish() })
    }
}

/// What a digest is made of, part by part.
struct Parts(Context);

impl Parts {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Lengths before contents, so that no two lists are written alike.
    fn add(&mut self, name: &str, value: &[u8]) {
        for bytes in [name.as_bytes(), value] {
            self.0.update(&(bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
    }

    fn finish(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Digest(digest)
    }
}

fn contents(file: &HeldFile) -> Result<Vec<u8>, UnknownIdentity> {
    let path = || file.path().to_owned();
    match file.sha256() {
        Ok(Some(digest)) => Ok(digest.as_ref().to_vec()),
        Ok(None) => Err(UnknownIdentity::Changed(path())),
        Err(source) => Err(UnknownIdentity::Unreadable { path: path(), source }),
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
