//! ONNX Runtime: one session, run by all workers at once.

use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use native::SharedSession;
use ort::{
    environment::Environment,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{TensorElementType, TensorRef, TensorRefMut, ValueType},
};

use super::ModelError;
use crate::{
    digest,
    engine::{Classify, Layout, Tokens},
};

/// Where the library is looked for when `ORT_DYLIB_PATH` doesn't say.
const LIBRARY: &str = "libonnxruntime.so";

/// ONNX Runtime, loaded.
pub struct Runtime(Environment);

impl Runtime {
    /// Loads the library. One process has one runtime, so a second call returns the first's.
    pub fn load() -> Result<Self, ModelError> {
        static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| {
            let path = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
            // First of all calls: any other one would load the library by its default name, and
            // panic where that fails.
            let builder = ort::init_from(path.unwrap_or_else(|| LIBRARY.into())).map_err(|error| error.to_string())?;
            let environment = builder.with_telemetry(false).build().map_err(|error| error.to_string())?;
            native::keep_activations_apart(&environment).map_err(|error| error.to_string())?;
            Ok(environment)
        });
        loaded.clone().map(Self).map_err(ModelError::NoRuntime)
    }

    /// A session over a model file, not run yet: over the graph for batches without padding that
    /// `scripts/prepare-model.py` left beside it, where there is one. With it comes the file that it was made of.
    pub(super) fn open(&self, file: &Path) -> Result<(ColdSession, PathBuf), ModelError> {
        let varlen = varlen_file(file);
        if varlen.is_file() {
            let session = self.open_one(&varlen)?;
            if session.was_made_of(file)? {
                return Ok((session, varlen));
            }
            tracing::warn!(
                file = %varlen.display(),
                "this graph was made of another model than is here, so batches are padded; scripts/prepare-model.py makes it anew"
            );
        }
        Ok((self.open_one(file)?, file.to_owned()))
    }

    fn open_one(&self, file: &Path) -> Result<ColdSession, ModelError> {
        let bad = |problem: String| ModelError::BadFile { path: file.to_owned(), problem };
        let session = self.commit(file).map_err(|error| bad(error.to_string()))?;
        ColdSession::new(session).map_err(bad)
    }

    fn commit(&self, file: &Path) -> ort::Result<Session> {
        let builder = Session::builder(&self.0)?
            // Batches run side by side, one a CPU: threads inside a run would only wait for each other.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // Shapes vary from batch to batch, and a memory pattern is kept for each that was seen.
            .with_memory_pattern(false)?
            .with_env_allocators()?;
        native::with_operators(builder)?.commit_from_file(file)
    }
}

/// Where the graph for batches without padding would be: beside the model, by a name that no model
/// is looked for under.
pub(super) fn varlen_file(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".varlen");
    name.into()
}

/// The key under which such a graph has the SHA-256 of the model that it was made of.
const MADE_OF: &str = "made_of_sha256";

/// What an input of the graph is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Ids,
    Mask,
    Types,
    Positions,
    Starts,
}

impl Feed {
    /// By the input's name: those of the transformers library, and `FlashAttention`'s `cu_seqlens`.
    const NAMES: [(&'static str, Self); 5] = [
        ("input_ids", Self::Ids),
        ("attention_mask", Self::Mask),
        ("token_type_ids", Self::Types),
        ("position_ids", Self::Positions),
        ("cu_seqlens", Self::Starts),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, feed)| *feed)
    }
}

/// A session that has not run yet, so that its number of classes isn't known.
pub(super) struct ColdSession {
    session: Session,
    inputs: Vec<(String, Feed)>,
    layout: Layout,
    output: String,
}

impl ColdSession {
    fn new(session: Session) -> Result<Self, String> {
        let inputs = session
            .inputs()
            .iter()
            .map(|input| {
                let name = input.name();
                let feed = Feed::of(name).ok_or_else(|| {
                    let known = Feed::NAMES.map(|(known, _)| known).join(", ");
                    format!("its input {name} is none of those that texts are fed to: {known}")
                })?;
                match input.dtype() {
                    ValueType::Tensor { ty: TensorElementType::Int64, .. } => Ok((name.to_owned(), feed)),
                    other => Err(format!("its input {name} is {other}, not a tensor of int64")),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let has = |wanted| inputs.iter().any(|(_, feed)| *feed == wanted);
        if !has(Feed::Ids) {
            return Err("it has no input input_ids".to_owned());
        }
        let layout = if has(Feed::Starts) { Layout::Varlen } else { Layout::Padded };
        let outputs = session.outputs();
        let output = outputs.iter().find(|output| output.name() == "logits").or(outputs.first());
        let output = output.ok_or("it has no output")?;
        if !matches!(output.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, .. }) {
            return Err(format!("its output {} is {}, not a tensor of float32", output.name(), output.dtype()));
        }
        let output = output.name().to_owned();
        Ok(Self { session, inputs, layout, output })
    }

    /// Whether it says that it was made of this file.
    fn was_made_of(&self, file: &Path) -> Result<bool, ModelError> {
        let contents =
            digest::of_file(file).map_err(|source| ModelError::Unreadable { path: file.to_owned(), source })?;
        let mut hexadecimal = String::new();
        digest::push_hex(&mut hexadecimal, contents.as_ref());
        let said = self.session.metadata().ok().and_then(|metadata| metadata.custom(MADE_OF));
        Ok(said.is_some_and(|said| said == hexadecimal))
    }

    /// Runs once, which allocates what later runs use, and shows how many classes there are.
    pub(super) fn warm_up(mut self, tokens: &Tokens, is_quantized: bool) -> Result<OnnxSession, String> {
        let (names, feeds): (Vec<&str>, Vec<Feed>) =
            self.inputs.iter().map(|(name, feed)| (name.as_str(), *feed)).unzip();
        let tensors: Vec<Tensor> = feeds.iter().map(|feed| feed.fill(self.layout, &[tokens])).collect();
        let mut inputs = Vec::with_capacity(names.len());
        for (name, tensor) in names.iter().zip(&tensors) {
            inputs.push((*name, SessionInputValue::from(tensor.view()?)));
        }
        let outputs = self.session.run(inputs).map_err(sentence)?;
        let (shape, _) = outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(sentence)?;
        let classes = match **shape {
            [1, classes] => usize::try_from(classes).map_err(sentence)?,
            _ => return Err(format!("its output {} has the shape {shape} for one text", self.output)),
        };
        drop(outputs);
        // Another thread runs all others.
        native::return_activations();
        let session = SharedSession::new(self.session, &names, &self.output).map_err(sentence)?;
        Ok(OnnxSession { shared: Arc::new(session), feeds, layout: self.layout, is_quantized, classes })
    }
}

/// A warm session; a clone is another handle to the same one, for another worker.
#[derive(Clone)]
pub(super) struct OnnxSession {
    shared: Arc<SharedSession>,
    feeds: Vec<Feed>,
    layout: Layout,
    is_quantized: bool,
    /// Classes that the model tells apart.
    pub(super) classes: usize,
}

impl Classify for OnnxSession {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn is_quantized(&self) -> bool {
        self.is_quantized
    }

    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String> {
        let tensors: Vec<Tensor> = self.feeds.iter().map(|feed| feed.fill(self.layout, batch)).collect();
        let inputs = tensors.iter().map(Tensor::view).collect::<Result<Vec<_>, _>>()?;
        let mut logits = vec![0.0_f32; batch.len() * self.classes];
        let shape = [batch.len(), self.classes];
        let mut output = TensorRefMut::from_array_view_mut((shape, logits.as_mut_slice())).map_err(sentence)?;
        self.shared.run(&inputs, &mut output).map_err(sentence)?;
        drop(output);
        Ok(logits.chunks_exact(self.classes.max(1)).map(<[f32]>::to_vec).collect())
    }

    fn return_memory(&mut self) {
        native::return_activations();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err takes")]
fn sentence(error: impl ToString) -> String {
    error.to_string()
}

/// One input for a whole batch.
#[derive(Debug, PartialEq, Eq)]
struct Tensor {
    shape: Vec<usize>,
    numbers: Vec<i64>,
}

impl Tensor {
    fn view(&self) -> Result<TensorRef<'_, i64>, String> {
        TensorRef::from_array_view((self.shape.as_slice(), self.numbers.as_slice())).map_err(sentence)
    }
}

impl Feed {
    /// Padding is 0. Its id doesn't matter where the mask is 0, and 0 is a valid id of every
    /// vocabulary.
    fn fill(self, layout: Layout, batch: &[&Tokens]) -> Tensor {
        if self == Self::Starts {
            let mut numbers = vec![0];
            for text in batch {
                let tokens = i64::try_from(text.ids.len()).unwrap_or(i64::MAX);
                numbers.push(numbers[numbers.len() - 1] + tokens);
            }
            return Tensor { shape: vec![numbers.len()], numbers };
        }
        let length = match layout {
            Layout::Padded => batch.iter().map(|text| text.ids.len()).max().unwrap_or_default(),
            Layout::Varlen => 0,
        };
        let mut numbers = Vec::new();
        for text in batch {
            let row = numbers.len();
            match (self, &text.type_ids) {
                (Self::Ids, _) => numbers.extend(text.ids.iter().map(|id| i64::from(*id))),
                (Self::Types, Some(types)) => numbers.extend(types.iter().map(|kind| i64::from(*kind))),
                (Self::Types, None) => numbers.resize(row + text.ids.len(), 0),
                (Self::Positions, _) => numbers.extend((0_i64..).take(text.ids.len())),
                (Self::Mask | Self::Starts, _) => numbers.resize(row + text.ids.len(), 1),
            }
            numbers.resize(numbers.len().max(row + length), 0);
        }
        let shape = match layout {
            Layout::Padded => vec![batch.len(), length],
            Layout::Varlen => vec![numbers.len()],
        };
        Tensor { shape, numbers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(layout: Layout, feed: Feed) -> (Vec<usize>, Vec<i64>) {
        let short = Tokens { ids: vec![7], type_ids: None };
        let long = Tokens { ids: vec![1, 2, 3], type_ids: Some(vec![0, 1, 1]) };
        let Tensor { shape, numbers } = feed.fill(layout, &[&short, &long]);
        (shape, numbers)
    }

    #[test]
    fn rows_are_padded_to_the_longest() {
        let padded = |feed| filled(Layout::Padded, feed);
        assert_eq!(padded(Feed::Ids), (vec![2, 3], vec![7, 0, 0, 1, 2, 3]));
        assert_eq!(padded(Feed::Mask), (vec![2, 3], vec![1, 0, 0, 1, 1, 1]));
        assert_eq!(padded(Feed::Types), (vec![2, 3], vec![0, 0, 0, 0, 1, 1]));
        assert_eq!(padded(Feed::Positions), (vec![2, 3], vec![0, 0, 0, 0, 1, 2]));
    }

    #[test]
    fn without_padding_texts_follow_upon_each_other() {
        let varlen = |feed| filled(Layout::Varlen, feed);
        assert_eq!(varlen(Feed::Ids), (vec![4], vec![7, 1, 2, 3]));
        assert_eq!(varlen(Feed::Types), (vec![4], vec![0, 0, 1, 1]));
        assert_eq!(varlen(Feed::Positions), (vec![4], vec![0, 0, 1, 2]));
        assert_eq!(varlen(Feed::Starts), (vec![3], vec![0, 1, 4]));
    }
}
