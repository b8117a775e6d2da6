//! ONNX Runtime: one session, run by all workers at once.

use std::{
    env,
    path::Path,
    sync::{Arc, OnceLock},
};

use native::{Memory, SharedSession};
use ort::{
    environment::Environment,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{TensorElementType, TensorRef, TensorRefMut, ValueType},
};

use super::ModelError;
use crate::engine::{Classify, Tokens};

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
            builder.with_telemetry(false).build().map_err(|error| error.to_string())
        });
        loaded.clone().map(Self).map_err(ModelError::NoRuntime)
    }

    /// A session over a model file, not run yet.
    pub(super) fn open(&self, file: &Path) -> Result<ColdSession, ModelError> {
        let bad = |problem: String| ModelError::BadFile { path: file.to_owned(), problem };
        let session = self.commit(file).map_err(|error| bad(error.to_string()))?;
        ColdSession::new(session).map_err(bad)
    }

    fn commit(&self, file: &Path) -> ort::Result<Session> {
        Session::builder(&self.0)?
            // Batches run side by side, one a CPU: threads inside a run would only wait for each other.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // Shapes vary from batch to batch, and a memory pattern is kept for each that was seen.
            .with_memory_pattern(false)?
            .commit_from_file(file)
    }
}

/// What an input of the graph is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Ids,
    Mask,
    Types,
}

/// A session that has not run yet, so that its number of classes isn't known.
pub(super) struct ColdSession {
    session: Session,
    inputs: Vec<(String, Feed)>,
    output: String,
}

impl ColdSession {
    fn new(session: Session) -> Result<Self, String> {
        let inputs = session
            .inputs()
            .iter()
            .map(|input| {
                let name = input.name();
                let feed = match name {
                    "input_ids" => Feed::Ids,
                    "attention_mask" => Feed::Mask,
                    "token_type_ids" => Feed::Types,
                    _ => {
                        return Err(format!(
                            "its input {name} is none of input_ids, attention_mask and token_type_ids"
                        ));
                    }
                };
                match input.dtype() {
                    ValueType::Tensor { ty: TensorElementType::Int64, .. } => Ok((name.to_owned(), feed)),
                    other => Err(format!("its input {name} is {other}, not a tensor of int64")),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !inputs.iter().any(|(_, feed)| *feed == Feed::Ids) {
            return Err("it has no input input_ids".to_owned());
        }
        let outputs = session.outputs();
        let output = outputs.iter().find(|output| output.name() == "logits").or(outputs.first());
        let output = output.ok_or("it has no output")?;
        if !matches!(output.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, .. }) {
            return Err(format!("its output {} is {}, not a tensor of float32", output.name(), output.dtype()));
        }
        let output = output.name().to_owned();
        Ok(Self { session, inputs, output })
    }

    /// Runs once, which allocates what later runs use, and shows how many classes there are.
    pub(super) fn warm_up(mut self, tokens: &Tokens) -> Result<OnnxSession, String> {
        let (names, feeds): (Vec<&str>, Vec<Feed>) =
            self.inputs.iter().map(|(name, feed)| (name.as_str(), *feed)).unzip();
        let tensors: Vec<Vec<i64>> = feeds.iter().map(|feed| fill(*feed, &[tokens], tokens.ids.len())).collect();
        let mut inputs = Vec::with_capacity(names.len());
        for (name, tensor) in names.iter().zip(&tensors) {
            let value = TensorRef::from_array_view(([1, tensor.len()], tensor.as_slice())).map_err(sentence)?;
            inputs.push((*name, SessionInputValue::from(value)));
        }
        let outputs = self.session.run(inputs).map_err(sentence)?;
        let (shape, _) = outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(sentence)?;
        let classes = match **shape {
            [1, classes] => usize::try_from(classes).map_err(sentence)?,
            _ => return Err(format!("its output {} has the shape {shape} for one text", self.output)),
        };
        drop(outputs);
        let session = SharedSession::new(self.session, &names, &self.output).map_err(sentence)?;
        Ok(OnnxSession { shared: Arc::new(session), feeds, classes })
    }
}

/// A warm session; a clone is another handle to the same one, for another worker.
#[derive(Clone)]
pub(super) struct OnnxSession {
    shared: Arc<SharedSession>,
    feeds: Vec<Feed>,
    /// Classes that the model tells apart.
    pub(super) classes: usize,
}

impl Classify for OnnxSession {
    fn classify(&mut self, batch: &[&Tokens], memory: Memory) -> Result<Vec<Vec<f32>>, String> {
        let longest = batch.iter().map(|text| text.ids.len()).max().unwrap_or_default();
        let tensors: Vec<Vec<i64>> = self.feeds.iter().map(|feed| fill(*feed, batch, longest)).collect();
        let inputs = tensors
            .iter()
            .map(|tensor| TensorRef::from_array_view(([batch.len(), longest], tensor.as_slice())))
            .collect::<Result<Vec<_>, _>>()
            .map_err(sentence)?;
        let mut logits = vec![0.0_f32; batch.len() * self.classes];
        let shape = [batch.len(), self.classes];
        let mut output = TensorRefMut::from_array_view_mut((shape, logits.as_mut_slice())).map_err(sentence)?;
        self.shared.run(&inputs, &mut output, memory).map_err(sentence)?;
        drop(output);
        Ok(logits.chunks_exact(self.classes.max(1)).map(<[f32]>::to_vec).collect())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err takes")]
fn sentence(error: impl ToString) -> String {
    error.to_string()
}

/// One input for the whole batch, padded with 0. The padding's id doesn't matter where the mask is
/// 0, and 0 is a valid id of every vocabulary.
fn fill(feed: Feed, batch: &[&Tokens], longest: usize) -> Vec<i64> {
    let mut tensor = vec![0; batch.len() * longest];
    for (row, text) in tensor.chunks_exact_mut(longest.max(1)).zip(batch) {
        match (feed, &text.type_ids) {
            (Feed::Ids, _) => row.iter_mut().zip(&text.ids).for_each(|(cell, id)| *cell = i64::from(*id)),
            (Feed::Mask, _) => row[..text.ids.len()].fill(1),
            (Feed::Types, Some(types)) => {
                row.iter_mut().zip(types).for_each(|(cell, kind)| *cell = i64::from(*kind));
            }
            (Feed::Types, None) => {}
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_longest() {
        let short = Tokens { ids: vec![7], type_ids: None };
        let long = Tokens { ids: vec![1, 2, 3], type_ids: Some(vec![0, 1, 1]) };
        let batch = [&short, &long];
        assert_eq!(fill(Feed::Ids, &batch, 3), [7, 0, 0, 1, 2, 3]);
        assert_eq!(fill(Feed::Mask, &batch, 3), [1, 0, 0, 1, 1, 1]);
        assert_eq!(fill(Feed::Types, &batch, 3), [0, 0, 0, 0, 1, 1]);
    }
}
