//! A graph in ONNX Runtime: one session, run by all workers at once.

mod feed;
mod output;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::{Classify, Cost, Layout, Profile, Tokens};
pub use feed::Padding;
use feed::{Feed, Inputs};
use kernels::SharedSession;
use ort::session::Session;
use output::Output;
use tracing::subscriber::NoSubscriber;

/// A session that has not run yet, so that its number of classes isn't known.
pub(super) struct ColdSession {
    session: Session,
    inputs: Inputs,
}

/// What a model's files say of it that its graph doesn't.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// How long a text may be.
    pub(super) limit: Limit,
    pub(super) is_quantized: bool,
    pub(super) padding: Padding,
    /// The first token's position.
    pub(super) first_position: i64,
    /// Labels that are named.
    pub(super) labels: Option<usize>,
}

impl ColdSession {
    pub(super) fn new(session: Session) -> Result<Self, String> {
        let inputs = Inputs::of(&session)?;
        Ok(Self { session, inputs })
    }

    /// Tokens that each text has to have; `None` for any number.
    pub(super) fn fixed_tokens(&self) -> Option<usize> {
        self.inputs.axes.tokens
    }

    /// Runs texts of several lengths, alone and together. That allocates what later runs use, and shows how many
    /// classes there are, whether texts can share a run, how long they can be, and what a run takes.
    pub(super) fn warm_up(mut self, text: &Tokens, said: Said) -> Result<OnnxSession, String> {
        self.inputs.padding = said.padding;
        self.inputs.first_position = said.first_position;
        let output = self.first_run(text, said.labels)?;
        let Self { session, inputs } = self;
        let names: Vec<&str> = inputs.all.iter().map(|input| input.name.as_str()).collect();
        let session = SharedSession::new(session, &names, &output.name).map_err(sentence)?;
        let profile = Profile {
            layout: inputs.layout,
            is_quantized: said.is_quantized,
            most_texts: inputs.axes.texts,
            fixed_tokens: inputs.axes.tokens,
            cost: Cost { run: Duration::ZERO, token: Duration::ZERO },
        };
        let mut session = OnnxSession {
            shared: Arc::new(session),
            inputs: Arc::new(inputs),
            output: Arc::new(output),
            profile,
            is_distribution: false,
            max_tokens: said.limit.tokens,
        };
        session.learn_length(text, said.limit);
        session.learn(text)?;
        // Other threads run all others.
        kernels::return_activations();
        Ok(session)
    }

    /// The output that holds the scores.
    fn first_run(&mut self, text: &Tokens, labels: Option<usize>) -> Result<Output, String> {
        let texts = vec![text; self.inputs.axes.texts.unwrap_or(1)];
        let tensors = self.inputs.fill(&texts);
        let mut inputs = Vec::with_capacity(tensors.len());
        for (input, tensor) in self.inputs.all.iter().zip(&tensors) {
            inputs.push((input.name.as_str(), tensor.value()?));
        }
        let outputs = self.session.run(inputs).map_err(sentence)?;
        Output::choose(outputs.iter().map(|(name, value)| (name, value.dtype().clone())), texts.len(), labels)
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
    inputs: Arc<Inputs>,
    output: Arc<Output>,
    profile: Profile,
    /// Whether its numbers were the probabilities of a softmax in each run so far.
    pub(super) is_distribution: bool,
    /// Tokens that it takes at most.
    pub(super) max_tokens: usize,
}

impl OnnxSession {
    /// Numbers that the model answers for each text.
    pub(super) fn outputs(&self) -> usize {
        self.output.numbers
    }

    /// Name and type of each input.
    pub(super) fn inputs(&self) -> Vec<String> {
        self.inputs.all.iter().map(ToString::to_string).collect()
    }

    /// The output that they are in.
    pub(super) fn output(&self) -> &str {
        &self.output.name
    }

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
        let fixed = self.inputs.axes.tokens;
        let longer = repeated(text, fixed.unwrap_or(LONGER).min(self.max_tokens));
        let ((short, of_short), (long, of_long)) = (self.time(text)?, self.time(&longer)?);
        self.is_distribution = [&of_short, &of_long].into_iter().all(|numbers| is_distribution(numbers));
        let tokens = |text: &Tokens| fixed.unwrap_or(text.ids.len());
        self.profile.cost = Cost::between((tokens(text), short), (tokens(&longer), long));

        if self.inputs.axes.texts.is_some() {
            return Ok(());
        }
        match self.classify(&[text, &longer]) {
            Err(problem) => {
                tracing::warn!(problem, "the model fails on two texts at once, so each runs alone");
                self.profile.most_texts = Some(1);
            }
            Ok(together) => {
                // With no mask to feed, a graph may know padding by its id, or take it for a part of the shorter text.
                let is_masked = self.inputs.has(Feed::Mask) || fixed.is_some();
                let is_padded = self.profile.layout == Layout::Padded;
                if is_padded && !is_masked && !(alike(&together[0], &of_short) && alike(&together[1], &of_long)) {
                    tracing::info!("the model takes padding for a part of a text, so each runs alone");
                    self.profile.most_texts = Some(1);
                }
            }
        }
        Ok(())
    }

    /// The shorter time of two runs, as the first one allocates, and what they answered.
    fn time(&mut self, text: &Tokens) -> Result<(Duration, Vec<f32>), String> {
        let (mut shortest, mut answer) = (Duration::MAX, Vec::new());
        for _ in 0..2 {
            let start = Instant::now();
            answer = self.classify(&[text])?.pop().unwrap_or_default();
            shortest = shortest.min(start.elapsed());
        }
        Ok((shortest, answer))
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

/// Whether numbers of a text are those that it had alone, but for rounding.
fn alike(together: &[f32], alone: &[f32]) -> bool {
    together.iter().zip(alone).all(|(one, other)| (one - other).abs() <= 1e-3 * (1.0 + other.abs()))
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
        let texts: Cow<'_, [&Tokens]> = match self.inputs.axes.texts {
            // A row of padding alone would be a text of nothing, of which a model may make no number.
            Some(fixed) if batch.len() < fixed => {
                Cow::Owned(batch.iter().copied().chain(std::iter::repeat(first)).take(fixed).collect())
            }
            _ => Cow::Borrowed(batch),
        };
        let tensors = self.inputs.fill(&texts);
        let inputs = tensors.iter().map(feed::Tensor::view).collect::<Result<Vec<_>, _>>()?;
        let numbers = self.output.read(texts.len(), |output| self.shared.run(&inputs, output).map_err(sentence))?;
        Ok(numbers.chunks_exact(self.outputs()).take(batch.len()).map(<[f32]>::to_vec).collect())
    }

    fn return_memory(&mut self) {
        kernels::return_activations();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err takes")]
fn sentence(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn numbers_are_alike_but_for_rounding() {
        assert!(alike(&[1.0, -20.0], &[1.0005, -20.01]));
        assert!(!alike(&[1.0, 0.1], &[1.0, 0.2]));
        assert!(!alike(&[f32::NAN], &[0.0]));
    }
}
