//! ONNX Runtime: one session, run by all workers at once.

use std::{
    borrow::Cow,
    env,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use engine::{Classify, Cost, Layout, Profile, Tokens};
use kernels::SharedSession;
use ort::{
    environment::Environment,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{TensorElementType, TensorRef, TensorRefMut, ValueType},
};
use tracing::subscriber::NoSubscriber;

use crate::{ModelError, digest};

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
            kernels::keep_activations_apart(&environment).map_err(|error| error.to_string())?;
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
        kernels::with_operators(builder)?.commit_from_file(file)
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
    axes: Axes,
    output: String,
    first_position: i64,
}

/// What a graph says of the sides of its inputs. A side that isn't fixed is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Axes {
    /// Texts of each run.
    texts: Option<usize>,
    /// Tokens of each text.
    tokens: Option<usize>,
}

impl Axes {
    fn of(shape: &[i64]) -> Self {
        let fixed = |side: usize| shape.get(side).and_then(|side| usize::try_from(*side).ok()).filter(|side| *side > 0);
        Self { texts: fixed(0), tokens: fixed(1) }
    }
}

impl ColdSession {
    fn new(session: Session) -> Result<Self, String> {
        let mut axes = Axes::default();
        let mut inputs = Vec::new();
        for input in session.inputs() {
            let name = input.name();
            let feed = Feed::of(name).ok_or_else(|| {
                let known = Feed::NAMES.map(|(known, _)| known).join(", ");
                format!("its input {name} is none of those that texts are fed to: {known}")
            })?;
            let ValueType::Tensor { ty: TensorElementType::Int64, shape, .. } = input.dtype() else {
                return Err(format!("its input {name} is {}, not a tensor of int64", input.dtype()));
            };
            if feed == Feed::Ids {
                axes = Axes::of(shape);
            }
            inputs.push((name.to_owned(), feed));
        }
        let has = |wanted| inputs.iter().any(|(_, feed)| *feed == wanted);
        if !has(Feed::Ids) {
            return Err("it has no input input_ids".to_owned());
        }
        let (layout, axes) = if has(Feed::Starts) { (Layout::Varlen, Axes::default()) } else { (Layout::Padded, axes) };
        let outputs = session.outputs();
        let output = outputs.iter().find(|output| output.name() == "logits").or(outputs.first());
        let output = output.ok_or("it has no output")?;
        if !matches!(output.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, .. }) {
            return Err(format!("its output {} is {}, not a tensor of float32", output.name(), output.dtype()));
        }
        let output = output.name().to_owned();
        Ok(Self { session, inputs, layout, axes, output, first_position: 0 })
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

    /// Feeds positions from this one on, where the graph asks for them.
    pub(super) fn count_positions_from(&mut self, first: i64) {
        self.first_position = first;
    }

    /// Tokens that each text has to have; `None` for any number.
    pub(super) fn fixed_tokens(&self) -> Option<usize> {
        self.axes.tokens
    }

    /// Runs texts of several lengths, alone and together. That allocates what later runs use, and shows how many
    /// classes there are, whether texts can share a run, how long they can be, and what a run takes.
    pub(super) fn warm_up(mut self, text: &Tokens, is_quantized: bool, limit: Limit) -> Result<OnnxSession, String> {
        let outputs = self.first_run(text)?;
        let Self { session, inputs, layout, axes, output, first_position } = self;
        let (names, feeds): (Vec<&str>, Vec<Feed>) = inputs.iter().map(|(name, feed)| (name.as_str(), *feed)).unzip();
        let session = SharedSession::new(session, &names, &output).map_err(sentence)?;
        let unknown = Cost { run: Duration::ZERO, token: Duration::ZERO };
        let profile =
            Profile { layout, is_quantized, most_texts: axes.texts, fixed_tokens: axes.tokens, cost: unknown };
        let max_tokens = limit.tokens;
        let mut session = OnnxSession {
            shared: Arc::new(session),
            feeds,
            axes,
            profile,
            outputs,
            output,
            first_position,
            is_distribution: false,
            max_tokens,
        };
        session.learn_length(text, limit);
        session.learn(text)?;
        // Other threads run all others.
        kernels::return_activations();
        Ok(session)
    }

    /// The number of classes.
    fn first_run(&mut self, text: &Tokens) -> Result<usize, String> {
        let texts = vec![text; self.axes.texts.unwrap_or(1)];
        let tensors: Vec<Tensor> = self
            .inputs
            .iter()
            .map(|(_, feed)| feed.fill(self.layout, self.axes.tokens, self.first_position, &texts))
            .collect();
        let mut inputs = Vec::with_capacity(tensors.len());
        for ((name, _), tensor) in self.inputs.iter().zip(&tensors) {
            inputs.push((name.as_str(), SessionInputValue::from(tensor.view()?)));
        }
        let outputs = self.session.run(inputs).map_err(sentence)?;
        let (shape, _) = outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(sentence)?;
        match **shape {
            [rows, classes] if usize::try_from(rows) == Ok(texts.len()) => usize::try_from(classes).map_err(sentence),
            _ => Err(format!("its output {} has the shape {shape} for {} texts", self.output, texts.len())),
        }
    }
}

/// Tokens of the longer text of a warm-up, where the model takes so many.
const LONGER: usize = 64;

/// How long a text may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// In tokens.
    pub(super) tokens: usize,
    /// Whether the model's own files say so. Else one run of that length shows it.
    pub(super) is_declared: bool,
}

/// A warm session; a clone is another handle to the same one, for another worker.
#[derive(Clone)]
pub(super) struct OnnxSession {
    shared: Arc<SharedSession>,
    feeds: Vec<Feed>,
    axes: Axes,
    profile: Profile,
    /// Numbers that the model answers for each text.
    pub(super) outputs: usize,
    /// The output that they are in.
    pub(super) output: String,
    first_position: i64,
    /// Whether they were the probabilities of a softmax in each run so far.
    pub(super) is_distribution: bool,
    /// Tokens that it takes at most.
    pub(super) max_tokens: usize,
}

impl OnnxSession {
    /// Finds how long a text the graph takes where it doesn't take what it should.
    fn learn_length(&mut self, text: &Tokens, limit: Limit) {
        let longest = if limit.is_declared { limit.tokens.min(LONGER) } else { limit.tokens };
        let most =
            quietly(|| last_good(text.ids.len(), longest, |tokens| self.classify(&[&repeated(text, tokens)]).is_ok()));
        if most < longest {
            self.max_tokens = most;
        }
    }

    fn learn(&mut self, text: &Tokens) -> Result<(), String> {
        let longer = repeated(text, self.axes.tokens.unwrap_or(LONGER).min(self.max_tokens));
        let (short, long) = (self.time(text)?, self.time(&longer)?);
        let answers = [text, &longer].map(|text| self.classify(&[text]));
        self.is_distribution = answers.iter().flatten().flatten().all(|numbers| is_distribution(numbers));
        let tokens = |text: &Tokens| self.axes.tokens.unwrap_or(text.ids.len());
        self.profile.cost = Cost::between((tokens(text), short), (tokens(&longer), long));

        if self.axes.texts.is_some() {
            return Ok(());
        }
        let feeds_a_mask = self.feeds.contains(&Feed::Mask) || self.axes.tokens.is_some();
        if self.profile.layout == Layout::Padded && !feeds_a_mask {
            // Padding would be read as part of the shorter text.
            self.profile.most_texts = Some(1);
        } else if let Err(problem) = self.classify(&[text, &longer]) {
            tracing::warn!(problem, "the model fails on two texts at once, so each runs alone");
            self.profile.most_texts = Some(1);
        }
        Ok(())
    }

    /// The shorter time of two runs: the first one allocates.
    fn time(&mut self, text: &Tokens) -> Result<Duration, String> {
        let mut shortest = Duration::MAX;
        for _ in 0..2 {
            let start = Instant::now();
            self.classify(&[text])?;
            shortest = shortest.min(start.elapsed());
        }
        Ok(shortest)
    }

    /// The first id, up to `last`, that the model has no row for; `None` where it has one for each.
    pub(super) fn first_unknown_id(&mut self, last: u32) -> Option<u32> {
        let last = usize::try_from(last).ok()?;
        let mut knows = |id: usize| {
            let ids = u32::try_from(id).into_iter().collect();
            self.classify(&[&Tokens { ids, type_ids: None }]).is_ok()
        };
        let unknown = quietly(|| {
            let unknown = last_good(0, last, &mut knows) + 1;
            // Else it isn't the end of the table.
            let rest = unknown..=last;
            let step = rest.clone().count().div_ceil(8).max(1);
            (knows(0) && unknown <= last && !rest.step_by(step).any(knows)).then_some(unknown)
        });
        kernels::return_activations();
        unknown.and_then(|unknown| u32::try_from(unknown).ok())
    }
}

/// The last number, from one that is good to `most`, that is good, when all behind a bad one are bad.
fn last_good(good: usize, most: usize, mut is_good: impl FnMut(usize) -> bool) -> usize {
    if most <= good || is_good(most) {
        return most;
    }
    let (mut good, mut bad) = (good, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if is_good(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// A text over and over, up to so many tokens.
fn repeated(text: &Tokens, tokens: usize) -> Tokens {
    Tokens { ids: text.ids.iter().copied().cycle().take(tokens).collect(), type_ids: None }
}

/// Whether numbers are what a softmax makes. Logits of two texts aren't by chance.
fn is_distribution(numbers: &[f32]) -> bool {
    let sum: f32 = numbers.iter().sum();
    numbers.len() > 1 && numbers.iter().all(|number| (0.0..=1.0).contains(number)) && (sum - 1.0).abs() < 1e-4
}

/// Runs what may fail without ONNX Runtime's log lines about it.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(NoSubscriber::new(), run)
}

impl Classify for OnnxSession {
    fn profile(&self) -> Profile {
        self.profile
    }

    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String> {
        let first = *batch.first().ok_or("a run without texts")?;
        let texts: Cow<'_, [&Tokens]> = match self.axes.texts {
            // A row of padding alone would be a text of nothing, of which a model may make no number.
            Some(fixed) if batch.len() < fixed => {
                Cow::Owned(batch.iter().copied().chain(std::iter::repeat(first)).take(fixed).collect())
            }
            _ => Cow::Borrowed(batch),
        };
        let (layout, length) = (self.profile.layout, self.axes.tokens);
        let tensors: Vec<Tensor> =
            self.feeds.iter().map(|feed| feed.fill(layout, length, self.first_position, &texts)).collect();
        let inputs = tensors.iter().map(Tensor::view).collect::<Result<Vec<_>, _>>()?;
        let mut logits = vec![0.0_f32; texts.len() * self.outputs];
        let shape = [texts.len(), self.outputs];
        let mut output = TensorRefMut::from_array_view_mut((shape, logits.as_mut_slice())).map_err(sentence)?;
        self.shared.run(&inputs, &mut output).map_err(sentence)?;
        drop(output);
        Ok(logits.chunks_exact(self.outputs.max(1)).take(batch.len()).map(<[f32]>::to_vec).collect())
    }

    fn return_memory(&mut self) {
        kernels::return_activations();
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
    /// Padding, up to `fixed` tokens or those of the longest text, is 0. Its id doesn't matter where the mask is 0, and 0
    /// is a valid id of every vocabulary.
    fn fill(self, layout: Layout, fixed: Option<usize>, first_position: i64, batch: &[&Tokens]) -> Tensor {
        if self == Self::Starts {
            let mut numbers = vec![0];
            for text in batch {
                let tokens = i64::try_from(text.ids.len()).unwrap_or(i64::MAX);
                numbers.push(numbers[numbers.len() - 1] + tokens);
            }
            return Tensor { shape: vec![numbers.len()], numbers };
        }
        let length = match layout {
            Layout::Padded => batch.iter().map(|text| text.ids.len()).chain(fixed).max().unwrap_or_default(),
            Layout::Varlen => 0,
        };
        let mut numbers = Vec::new();
        for text in batch {
            let row = numbers.len();
            match (self, &text.type_ids) {
                (Self::Ids, _) => numbers.extend(text.ids.iter().map(|id| i64::from(*id))),
                (Self::Types, Some(types)) => numbers.extend(types.iter().map(|kind| i64::from(*kind))),
                (Self::Types, None) => numbers.resize(row + text.ids.len(), 0),
                (Self::Positions, _) => numbers.extend((first_position..).take(text.ids.len())),
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
        let Tensor { shape, numbers } = feed.fill(layout, None, 0, &[&short, &long]);
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
    fn positions_begin_where_the_model_counts_from() {
        let (short, long) = (Tokens { ids: vec![7], type_ids: None }, Tokens { ids: vec![1, 2], type_ids: None });
        let Tensor { numbers, .. } = Feed::Positions.fill(Layout::Padded, None, 2, &[&short, &long]);
        assert_eq!(numbers, [2, 0, 2, 3]);
    }

    #[test]
    fn texts_are_filled_up_to_a_fixed_length() {
        let short = Tokens { ids: vec![7], type_ids: None };
        let Tensor { shape, numbers } = Feed::Mask.fill(Layout::Padded, Some(4), 0, &[&short]);
        assert_eq!((shape, numbers), (vec![1, 4], vec![1, 0, 0, 0]));
    }

    #[test]
    fn the_last_good_number_is_found_with_few_tries() {
        for (most, expected) in [(512, 100), (101, 100), (100, 100), (7, 7), (3, 3)] {
            let mut tries = 0;
            let found = last_good(5, most, |number| {
                tries += 1;
                number <= 100
            });
            assert_eq!(found, expected);
            assert!(tries <= 10, "{tries} tries up to {most}");
        }
    }

    #[test]
    fn a_side_is_fixed_where_the_graph_has_a_number() {
        assert_eq!(Axes::of(&[-1, -1]), Axes::default());
        assert_eq!(Axes::of(&[1, -1]), Axes { texts: Some(1), tokens: None });
        assert_eq!(Axes::of(&[-1, 128]), Axes { texts: None, tokens: Some(128) });
        assert_eq!(Axes::of(&[]), Axes::default());
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
