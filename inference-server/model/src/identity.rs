//! What two servers must have in common to give equal answers.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    str::{self, FromStr},
    sync::Arc,
};

use ring::digest::{Context, SHA256};

use super::{ModelDirectory, ModelError, Reading, held::HeldFile, lenient, onnx::Contents};
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
#[derive(Clone, Debug, thiserror::Error)]
pub enum UnknownIdentity {
    /// A file can't be read, or not as what it should be.
    #[error("the model's file {path} can't be read for its hash: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said, or what is wrong with it.
        source: Arc<io::Error>,
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
    tokenizer: Vec<HeldFile>,
    model: Graph,
    /// The graph beside it for batches without padding.
    varlen: Varlen,
}

/// The graph for batches without padding that `prepare-model` leaves beside a model, by a name that no model is looked
/// for under.
enum Varlen {
    /// There is none where it would be.
    None(PathBuf),
    /// It was made of another model than is here.
    Stale(Graph),
    /// It is run in the model's place.
    Fits(Graph),
}

impl Varlen {
    fn open(model: &Graph) -> Result<Self, ModelError> {
        let mut name = model.file.path().as_os_str().to_owned();
        name.push(".varlen");
        let path = PathBuf::from(name);
        if !path.is_file() {
            return Ok(Self::None(path));
        }
        let graph = Graph::open(&path)?;
        // What can't be read is taken, so that ONNX Runtime says what is wrong with it.
        let Ok((Contents { made_of, .. }, _)) = &graph.contents else { return Ok(Self::Fits(graph)) };
        let contents = model.file.sha256().map_err(|source| model.file.unreadable(source))?;
        let mut hexadecimal = String::new();
        push_hex(&mut hexadecimal, contents.as_ref().map(AsRef::as_ref).unwrap_or_default());
        Ok(if *made_of == Some(hexadecimal) { Self::Fits(graph) } else { Self::Stale(graph) })
    }

    fn is_current(&self) -> bool {
        match self {
            Self::None(path) => !path.is_file(),
            Self::Stale(graph) | Self::Fits(graph) => graph.is_current(),
        }
    }
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
        lenient::not_a_pointer(path)?;
        let contents = Self::contents(&file);
        for (_, weights) in contents.iter().flat_map(|(_, weights)| weights) {
            lenient::not_a_pointer(weights.path())?;
        }
        Ok(Self { file, contents })
    }

    fn contents(file: &HeldFile) -> Result<(Contents, Vec<(String, HeldFile)>), UnknownIdentity> {
        let unreadable =
            |path: &Path, source| UnknownIdentity::Unreadable { path: path.to_owned(), source: Arc::new(source) };
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
        mut read: impl FnMut(&Self) -> Result<T, ModelError>,
    ) -> Result<(Self, T), ModelError> {
        for _ in 0..MOST_TRIES {
            let sources = Self::open(ModelDirectory::open(path)?)?;
            let outcome = read(&sources);
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
        let open = |path: &Path| {
            HeldFile::open(path).map_err(|source| ModelError::Unreadable { path: path.to_owned(), source })
        };
        let tokenizer = directory.tokenizer.paths().into_iter().map(open).collect::<Result<_, _>>()?;
        let model = Graph::open(&directory.model_file)?;
        let varlen = Varlen::open(&model)?;
        Ok(Self { directory, tokenizer, model, varlen })
    }

    /// The ONNX file that is to be run.
    pub(super) fn graph(&self) -> &Path {
        self.chosen().file.path()
    }

    fn chosen(&self) -> &Graph {
        if let Varlen::Fits(graph) = &self.varlen { graph } else { &self.model }
    }

    /// Says that a graph for batches without padding isn't run.
    pub(super) fn warn(&self) {
        if let Varlen::Stale(graph) = &self.varlen {
            tracing::warn!(
                file = %graph.file.path().display(),
                "this graph was made of another model than is here, so batches are padded; prepare-model makes it anew"
            );
        }
    }

    pub(super) fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// Whether every name leads to the file that it led to, and nothing was written into one.
    fn are_current(&self) -> bool {
        let tokenizer = self.tokenizer.iter().all(HeldFile::is_current);
        self.varlen.is_current() && self.directory.is_current() && tokenizer && self.model.is_current()
    }

    /// What the model that was loaded is made of; `digest` where that was checked before it was loaded.
    pub(super) fn provenance(self, reading: Reading, digest: Option<Digest>) -> Provenance {
        let graph = if let Varlen::Fits(graph) = self.varlen { graph } else { self.model };
        let (config, tokenizer) = (self.directory.into_config(), self.tokenizer);
        Provenance { config, tokenizer, graph, reading, dropped: Vec::new(), digest }
    }

    /// Every file that is read, where it is.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut graphs = vec![&self.model];
        if let Varlen::Fits(graph) = &self.varlen {
            graphs.push(graph);
        }
        let weights = graphs.iter().flat_map(|graph| graph.contents.iter().flat_map(|(_, weights)| weights));
        let graphs = graphs.iter().map(|graph| &graph.file);
        let files = [self.directory.config()].into_iter().chain(&self.tokenizer).chain(graphs);
        let files = files.chain(weights.map(|(_, file)| file)).map(|file| file.path().to_owned());
        files.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The type of most weights.
    pub(super) fn precision(&self) -> Option<&'static str> {
        self.chosen().contents.as_ref().ok().and_then(|(contents, _)| contents.precision())
    }

    /// The digest of every file that shapes an answer, read as they are now.
    pub(super) fn digest(&self) -> Result<Digest, UnknownIdentity> {
        digest(self.directory.config(), &self.tokenizer, self.chosen())
    }

    /// Whether a softmax or a sigmoid makes an output of the graph.
    pub(super) fn is_activated(&self, output: &str) -> bool {
        self.chosen().contents.as_ref().is_ok_and(|(contents, _)| contents.is_activated(output))
    }
}

/// What a model that serves was loaded from, to be hashed when there is time for it.
pub struct Provenance {
    config: HeldFile,
    tokenizer: Vec<HeldFile>,
    graph: Graph,
    reading: Reading,
    /// Classes that are left out of the answers.
    dropped: Vec<usize>,
    digest: Option<Digest>,
}

impl Provenance {
    /// Of a model of whose answers these classes are left out.
    pub(super) fn without(self, classes: impl Iterator<Item = usize>) -> Self {
        Self { dropped: classes.collect(), ..self }
    }

    /// Reads the files, which takes a second for each gigabyte or so.
    pub fn identify(self) -> Result<Identity, UnknownIdentity> {
        // A second time only where nobody has read them all.
        let model = match self.digest {
            Some(checked) => checked,
            None => digest(&self.config, &self.tokenizer, &self.graph)?,
        };
        // Every setting that changes a number has to be here, under a name of its own.
        let Reading { max_tokens, long_texts, split_special_tokens } = self.reading;
        let mut outputs = Parts::new();
        outputs.add("model", &model.0);
        outputs.add("long_texts", &[long_texts as u8]);
        outputs.add("split_special_tokens", &[u8::from(split_special_tokens)]);
        outputs.add("max_tokens", &(max_tokens as u64).to_le_bytes());
        for class in self.dropped {
            outputs.add("dropped", &(class as u64).to_le_bytes());
        }
        Ok(Identity { model, outputs: outputs.finish() })
    }
}

fn digest(config: &HeldFile, tokenizer: &[HeldFile], graph: &Graph) -> Result<Digest, UnknownIdentity> {
    let mut files = Parts::new();
    files.add("config", &contents(config)?);
    for file in tokenizer {
        files.add("tokenizer", &contents(file)?);
    }
    files.add("graph", &contents(&graph.file)?);
    for (location, file) in &graph.contents.as_ref().map_err(Clone::clone)?.1 {
        files.add("location", location.as_bytes());
        files.add("weights", &contents(file)?);
    }
    Ok(files.finish())
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

/// The digest of the model in a directory, or of an ONNX file in one: of every file that shapes an answer.
pub fn digest_of(path: &Path) -> Result<Digest, ModelError> {
    let (sources, ()) = Sources::read(path, |_| Ok(()))?;
    Ok(sources.digest()?)
}

/// The files of a model.
pub struct ModelFiles {
    /// The directory that they are in.
    pub directory: PathBuf,
    /// All that serving the model reads.
    pub paths: Vec<PathBuf>,
    /// Of those that shape an answer.
    pub digest: Digest,
}

/// The files of the model in a directory, or of an ONNX file in one.
pub fn files_of(path: &Path) -> Result<ModelFiles, ModelError> {
    let (sources, ()) = Sources::read(path, |_| Ok(()))?;
    let digest = sources.digest()?;
    Ok(ModelFiles { directory: sources.directory().root.clone(), paths: sources.paths(), digest })
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let wrong = || NoDigest(text.to_owned());
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).map_err(|_| wrong())?;
            // It takes a sign too.
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+')).ok_or_else(wrong)?;
        }
        Ok(Self(digest))
    }
}

/// A text that is no digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no digest: it has to be sha256: and 64 hexadecimal digits, as `sentiment-server model digest` prints it"
)]
pub struct NoDigest(String);

fn contents(file: &HeldFile) -> Result<Vec<u8>, UnknownIdentity> {
    let path = || file.path().to_owned();
    match file.sha256() {
        Ok(Some(digest)) => Ok(digest.as_ref().to_vec()),
        Ok(None) => Err(UnknownIdentity::Changed(path())),
        Err(source) => Err(UnknownIdentity::Unreadable { path: path(), source: Arc::new(source) }),
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
