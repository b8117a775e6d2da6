//! From what the model answers to labels and scores, as transformers' text classification pipeline reads it.

use std::{borrow::Cow, sync::Arc};

/// What is answered inside the neutral band.
const NEUTRAL: &str = "NEUTRAL";

/// What [`Head::judge`] means by `None`, as a sentence.
pub const NO_VERDICT: &str = "the model's output is not one finite number a label";

/// A score from which on a label of several holds, unless the settings have another.
pub const THRESHOLD: f32 = 0.5;

/// Labels that an error names at most.
const MOST_NAMED: usize = 12;

/// A label and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The winning label.
    pub label: Arc<str>,
    /// Its probability, 0 to 1; of a regression the number itself.
    pub score: f32,
}

/// What a model tells of a text: `problem_type` of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Which one of its labels the text has.
    SingleLabel,
    /// Which of its labels the text has: none, one or more.
    MultiLabel,
    /// A number, or several.
    Regression,
}

impl Problem {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SingleLabel, Self::MultiLabel, Self::Regression];

    /// Its name in `config.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleLabel => "single_label_classification",
            Self::MultiLabel => "multi_label_classification",
            Self::Regression => "regression",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.as_str().eq_ignore_ascii_case(name))
    }
}

/// What makes scores of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Probabilities of labels that exclude each other.
    Softmax,
    /// A probability of each by itself.
    Sigmoid,
    /// The outputs are the scores: the graph has applied one, or it is a regression.
    Identity,
}

impl Activation {
    /// Its name, as transformers' `function_to_apply` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Identity => "none",
        }
    }

    /// What a pipeline applies to so many outputs: as transformers, the sigmoid to a single one.
    #[must_use]
    pub fn of(problem: Problem, outputs: usize) -> Self {
        match problem {
            Problem::Regression => Self::Identity,
            Problem::MultiLabel => Self::Sigmoid,
            Problem::SingleLabel if outputs == 1 => Self::Sigmoid,
            Problem::SingleLabel => Self::Softmax,
        }
    }
}

/// Where a model of natural language inference says whether one text follows from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entailment {
    /// The output for "it follows".
    pub entailment: usize,
    /// The output for "it is contradicted".
    pub contradiction: usize,
}

impl Entailment {
    /// The score of each of several candidates, by the outputs for each: those of a choice of one sum to 1, those of
    /// `several` each hold by themselves. As transformers' zero-shot pipeline. `None` where an output is missing.
    #[must_use]
    pub fn scores(self, outputs: &[&[f32]], several: bool) -> Option<Vec<f32>> {
        let of = |class: usize| outputs.iter().map(|logits| logits.get(class).copied()).collect::<Option<Vec<f32>>>();
        let entailed = of(self.entailment)?;
        if !several {
            return Some(softmax(&entailed));
        }
        let contradicted = of(self.contradiction)?;
        Some(entailed.iter().zip(contradicted).map(|(yes, no)| sigmoid(yes - no)).collect())
    }
}

/// Why labels can't be left out; each is the rest of a sentence that begins with the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropError {
    /// The model doesn't choose one of several outputs.
    #[error("is set, but the model's answers are of {0}, in which no label can be left out: unset it")]
    NoChoice(&'static str),
    /// No label has this name.
    #[error("names {name:?}, which is no label of the model: its labels are {}", listed(.labels))]
    NoLabel {
        /// The name.
        name: String,
        /// The labels that there are.
        labels: Vec<Arc<str>>,
    },
    /// There would be no choice.
    #[error("leaves fewer than two of the model's labels, which are {}: name fewer, or unset it", listed(.0))]
    TooFewLeft(Vec<Arc<str>>),
}

fn listed(labels: &[Arc<str>]) -> String {
    let shown = &labels[..labels.len().min(MOST_NAMED)];
    let more = labels.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Reads a model's outputs.
#[derive(Clone, Debug)]
pub struct Head {
    /// Of all of the model's classes.
    names: Vec<Arc<str>>,
    /// The classes that are answered, in their order.
    answered: Vec<usize>,
    problem: Problem,
    activation: Activation,
    neutral: Arc<str>,
    neutral_band: f32,
    threshold: f32,
    outputs: usize,
}

impl Head {
    /// A head over labels in class order, with an output for each.
    #[must_use]
    pub fn new(names: Vec<String>, problem: Problem, activation: Activation) -> Self {
        let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        let outputs = names.len();
        let answered = (0..outputs).collect();
        let neutral = NEUTRAL.into();
        Self { names, answered, problem, activation, neutral, neutral_band: 0.0, threshold: THRESHOLD, outputs }
    }

    /// A head of one label of several that exclude each other, by softmax.
    #[must_use]
    pub fn single_label(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let activation = Activation::of(Problem::SingleLabel, names.len());
        Self::new(names, Problem::SingleLabel, activation)
    }

    /// A head of two labels over one output, which is the second one's; the first has what is left to 1.
    #[must_use]
    pub fn binary(names: [String; 2], activation: Activation) -> Self {
        Self { outputs: 1, ..Self::new(names.into(), Problem::SingleLabel, activation) }
    }

    /// With a band: a winner less probable than this is NEUTRAL; 0 turns that off.
    #[must_use]
    pub fn with_neutral_band(self, neutral_band: f32) -> Self {
        Self { neutral_band, ..self }
    }

    /// With a score from which on a label of several holds.
    #[must_use]
    pub fn with_threshold(self, threshold: f32) -> Self {
        Self { threshold, ..self }
    }

    /// Without the labels of these names, in whatever case: they are never answered, and the scores of the others sum to 1.
    pub fn without(self, dropped: &[String]) -> Result<Self, DropError> {
        match self.problem {
            Problem::SingleLabel if self.outputs == 1 => return Err(DropError::NoChoice("one output")),
            Problem::SingleLabel => {}
            other => return Err(DropError::NoChoice(other.as_str())),
        }
        let labels: Vec<String> = self.names.iter().map(|label| label.to_lowercase()).collect();
        let mut answered: Vec<usize> = (0..labels.len()).collect();
        for name in dropped {
            let lower = name.to_lowercase();
            if !labels.contains(&lower) {
                return Err(DropError::NoLabel { name: name.clone(), labels: self.names });
            }
            answered.retain(|class| labels[*class] != lower);
        }
        // Several classes may have one name.
        if answered.iter().all(|class| self.names[*class] == self.names[answered[0]]) {
            return Err(DropError::TooFewLeft(self.names));
        }
        Ok(Self { answered, ..self })
    }

    /// What the model tells.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// What makes scores of its outputs.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Outputs that are answered of each text: the model's, but for those of labels that are left out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        if self.is_whole() { self.outputs } else { self.answered.len() }
    }

    /// Score from which on a label of several holds.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The names in class order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.labels().map(AsRef::as_ref)
    }

    fn labels(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.answered.iter().map(|class| &self.names[*class])
    }

    /// The classes that are left out, and their names.
    pub fn dropped(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        self.names.iter().enumerate().filter(|(class, _)| !self.answered.contains(class))
    }

    /// Whether no class is left out.
    fn is_whole(&self) -> bool {
        self.answered.len() == self.names.len()
    }

    /// Every label that a verdict may have, each once.
    #[must_use]
    pub fn answers(&self) -> Vec<Arc<str>> {
        let neutral = (self.neutral_band > 0.0).then_some(&self.neutral);
        let mut answers: Vec<Arc<str>> = Vec::with_capacity(self.names.len() + 1);
        for label in self.labels().chain(neutral) {
            if !answers.contains(label) {
                answers.push(Arc::clone(label));
            }
        }
        answers
    }

    /// The outputs for "it follows" and "it is contradicted", of a model that says whether one text follows from another:
    /// among all of the model's, whatever is left out.
    #[must_use]
    pub fn entailment(&self) -> Option<Entailment> {
        let class = |start: &str| self.names.iter().position(|name| name.to_lowercase().starts_with(start));
        Some(Entailment { entailment: class("entail")?, contradiction: class("contra").or(class("not_entail"))? })
    }

    /// Whether outputs can be read: as many as the model has, and each finite.
    #[must_use]
    pub fn reads(&self, logits: &[f32]) -> bool {
        logits.len() == self.outputs && logits.iter().all(|logit| logit.is_finite())
    }

    /// Those of the model's outputs that are answered, in class order. `None` when they can't be read.
    #[must_use]
    pub fn logits<'a>(&self, logits: &'a [f32]) -> Option<Cow<'a, [f32]>> {
        if !self.reads(logits) {
            return None;
        }
        Some(if self.is_whole() {
            logits.into()
        } else {
            self.answered.iter().map(|class| logits[*class]).collect::<Vec<f32>>().into()
        })
    }

    /// The score of every label, in class order. `None` when the outputs aren't one finite number for each label.
    #[must_use]
    pub fn scores(&self, logits: &[f32]) -> Option<Vec<f32>> {
        let scores = self.scores_by(self.activation, logits)?;
        // A softmax of the graph was over all of them.
        let is_part = self.activation == Activation::Identity && !self.is_whole();
        Some(if is_part { renormalized(&scores) } else { scores })
    }

    fn scores_by(&self, activation: Activation, logits: &[f32]) -> Option<Vec<f32>> {
        let logits = self.logits(logits)?;
        let mut scores = match activation {
            Activation::Softmax => softmax(&logits),
            Activation::Sigmoid => logits.iter().copied().map(sigmoid).collect(),
            Activation::Identity => logits.into_owned(),
        };
        if self.outputs < self.names.len() {
            scores.insert(0, 1.0 - scores[0]);
        }
        Some(scores)
    }

    /// The label of the highest score; `None` as for [`Self::scores`].
    #[must_use]
    pub fn judge(&self, logits: &[f32]) -> Option<Verdict> {
        let scores = self.scores(logits)?;
        let (label, score) = self.labels().zip(scores).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let is_neutral = self.neutral_band > 0.0 && score < self.neutral_band;
        let label = if is_neutral { &self.neutral } else { label };
        Some(Verdict { label: Arc::clone(label), score })
    }

    /// The labels with the highest scores, highest first, at most so many. None as for [`Self::scores`].
    #[must_use]
    pub fn ranked(&self, logits: &[f32], most: usize) -> Option<Vec<Verdict>> {
        let mut ranked = self.rank(self.scores(logits)?);
        ranked.truncate(most);
        Some(ranked)
    }

    /// As [`Self::ranked`], of all labels, by another function than the model's own. Without one the raw outputs are
    /// ranked, and one output of two labels stands for the second alone.
    #[must_use]
    pub fn ranked_by(&self, activation: Activation, logits: &[f32]) -> Option<Vec<Verdict>> {
        let is_raw = activation == Activation::Identity && self.outputs < self.names.len();
        if is_raw {
            let raw = self.logits(logits)?;
            let labels = self.names[self.names.len() - self.outputs..].iter();
            let verdict = |(label, score): (&Arc<str>, &f32)| Verdict { label: Arc::clone(label), score: *score };
            return Some(labels.zip(raw.iter()).map(verdict).collect());
        }
        Some(self.rank(self.scores_by(activation, logits)?))
    }

    fn rank(&self, scores: Vec<f32>) -> Vec<Verdict> {
        let verdicts = self.labels().zip(scores).map(|(label, score)| Verdict { label: Arc::clone(label), score });
        let mut ranked: Vec<Verdict> = verdicts.collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked
    }

    /// The labels that hold, highest score first: those of a model of several that reach the threshold, and of any other
    /// the winner.
    #[must_use]
    pub fn holding(&self, logits: &[f32]) -> Option<Vec<Verdict>> {
        match self.problem {
            Problem::MultiLabel => {
                let mut ranked = self.ranked(logits, usize::MAX)?;
                ranked.retain(|verdict| verdict.score >= self.threshold);
                Some(ranked)
            }
            Problem::SingleLabel | Problem::Regression => Some(vec![self.judge(logits)?]),
        }
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Relative to the highest logit, so that nothing overflows.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    logits.iter().map(|logit| (logit - highest).exp() / sum).collect()
}

/// Probabilities that sum to 1 again. Where nothing is left of them, no label is more probable than another.
fn renormalized(probabilities: &[f32]) -> Vec<f32> {
    let sum: f32 = probabilities.iter().sum();
    if sum > 0.0 {
        probabilities.iter().map(|probability| probability / sum).collect()
    } else {
        softmax(&vec![0.0; probabilities.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
        assert!(found.len() == expected.len() && near, "{found:?}, not {expected:?}");
    }

    #[test]
    fn one_label_has_the_winners_softmax_probability() {
        let verdict = Head::single_label(&["NEGATIVE", "POSITIVE"]).judge(&[0.0, 3.0_f32.ln()]).unwrap();
        assert_eq!(&*verdict.label, "POSITIVE");
        assert!((verdict.score - 0.75).abs() < 1e-6);
        let verdict = Head::single_label(&["a", "b", "c"]).judge(&[5000.0, 1.0, -5000.0]).unwrap();
        assert_eq!((&*verdict.label, verdict.score), ("a", 1.0));
    }

    #[test]
    fn several_labels_each_have_a_probability_of_their_own() {
        let head = Head::new(named(&["joy", "anger", "pride"]), Problem::MultiLabel, Activation::Sigmoid);
        let logits = [3.0_f32.ln(), -1.0, 1.0_f32.ln()];
        close(&head.scores(&logits).unwrap(), &[0.75, 0.268_941_4, 0.5]);
        let labels = |head: &Head| {
            let holding = head.holding(&logits).unwrap();
            holding.iter().map(|verdict| verdict.label.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(labels(&head), ["joy", "pride"]);
        assert_eq!(labels(&head.clone().with_threshold(0.9)), [""; 0]);
        assert_eq!(&*head.judge(&logits).unwrap().label, "joy");
    }

    #[test]
    fn a_regression_is_the_number_itself() {
        let head = Head::new(named(&["stars"]), Problem::Regression, Activation::of(Problem::Regression, 1));
        assert_eq!(head.judge(&[4.25]), Some(Verdict { label: "stars".into(), score: 4.25 }));
        assert_eq!(head.judge(&[-3.0]), Some(Verdict { label: "stars".into(), score: -3.0 }));
    }

    #[test]
    fn one_output_is_read_by_the_sigmoid_and_stands_for_the_second_of_two_labels() {
        assert!((Head::single_label(&["toxic"]).judge(&[0.0]).unwrap().score - 0.5).abs() < 1e-6);
        let head = Head::binary(["NEGATIVE".to_owned(), "POSITIVE".to_owned()], Activation::Sigmoid);
        close(&head.scores(&[3.0_f32.ln()]).unwrap(), &[0.25, 0.75]);
        assert_eq!(&*head.judge(&[-2.0]).unwrap().label, "NEGATIVE");
        assert_eq!(head.scores(&[1.0, 2.0]), None);
    }

    #[test]
    fn what_the_graph_has_applied_is_not_applied_again() {
        let head = Head::new(named(&["a", "b"]), Problem::SingleLabel, Activation::Identity);
        assert_eq!(head.judge(&[0.02, 0.98]), Some(Verdict { label: "b".into(), score: 0.98 }));
    }

    #[test]
    fn unsure_is_neutral_inside_the_band_only() {
        let head = Head::single_label(&["NEGATIVE", "POSITIVE"]).with_neutral_band(0.7);
        assert_eq!(&*head.judge(&[0.0, 0.5]).unwrap().label, "NEUTRAL");
        assert_eq!(&*head.judge(&[2.0, 0.5]).unwrap().label, "NEGATIVE");
    }

    #[test]
    fn scores_are_of_every_class_and_the_highest_is_the_verdicts() {
        let head = Head::single_label(&["a", "b", "c"]);
        for logits in [[0.5, -1.0, 2.0], [900.0, -900.0, 899.0], [0.0, 0.0, 0.0]] {
            let scores = head.scores(&logits).unwrap();
            assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let ranked = head.ranked(&logits, 2).unwrap();
            assert_eq!((ranked.len(), ranked[0].score), (2, head.judge(&logits).unwrap().score));
            assert!(ranked[0].score >= ranked[1].score);
        }
    }

    fn without(names: &[&str], dropped: &[&str]) -> Result<Head, DropError> {
        Head::single_label(names).without(&named(dropped))
    }

    #[test]
    fn what_is_left_shares_the_probability_of_what_is_left_out() {
        let whole = Head::single_label(&["NEGATIVE", "NEUTRAL", "POSITIVE"]);
        let head = whole.clone().without(&named(&["neutral"])).unwrap();
        assert_eq!(head.names().collect::<Vec<_>>(), ["NEGATIVE", "POSITIVE"]);
        assert_eq!(head.answers().join(" "), "NEGATIVE POSITIVE");
        assert_eq!(head.dropped().collect::<Vec<_>>(), [(1, &Arc::from("NEUTRAL"))]);
        assert_eq!((head.outputs(), whole.dropped().count()), (2, 0));
        for logits in [[0.5, 3.0, 2.0], [-1.0, 0.0, -2.0], [7.0, -900.0, 7.5], [-900.0, 900.0, -901.0]] {
            let all = whole.scores(&logits).unwrap();
            let scores = head.scores(&logits).unwrap();
            if all[1] < 0.999 {
                close(&scores, &[all[0] / (all[0] + all[2]), all[2] / (all[0] + all[2])]);
            }
            close(&[scores.iter().sum()], &[1.0]);
            let verdict = head.judge(&logits).unwrap();
            let winner = usize::from(logits[2] > logits[0]);
            assert_eq!((&*verdict.label, verdict.score), (["NEGATIVE", "POSITIVE"][winner], scores[winner]));
            let ranked = head.ranked(&logits, usize::MAX).unwrap();
            assert_eq!((&ranked[0], ranked.len()), (&verdict, 2));
            assert_eq!(head.holding(&logits), Some(vec![verdict]));
            assert_eq!(&*head.logits(&logits).unwrap(), [logits[0], logits[2]]);
        }
        // What comes in is still what the model put out.
        assert!(head.reads(&[0.0; 3]) && !head.reads(&[0.0; 2]));
        assert_eq!((head.scores(&[0.0; 2]), head.logits(&[0.0; 2])), (None, None));
        assert_eq!(head.judge(&[0.0, f32::NAN, 0.0]), None);
    }

    #[test]
    fn several_labels_may_be_left_out_at_either_end() {
        let head = without(&["joy", "anger", "pride", "fear"], &["Fear", "JOY"]).unwrap();
        let ranked = head.ranked(&[9.0, 0.0, 3.0_f32.ln(), 8.0], usize::MAX).unwrap();
        assert_eq!(ranked.iter().map(|verdict| &*verdict.label).collect::<Vec<_>>(), ["pride", "anger"]);
        close(&[ranked[0].score, ranked[1].score], &[0.75, 0.25]);
        let head = without(&["négatif", "NEUTRE", "NEUTRE", "positif"], &["neutre"]).unwrap();
        assert_eq!(head.names().collect::<Vec<_>>(), ["négatif", "positif"]);
    }

    #[test]
    fn probabilities_of_the_graph_are_made_to_sum_to_one_again_and_raw_ones_stay() {
        let head = Head::new(named(&["a", "b", "c"]), Problem::SingleLabel, Activation::Identity);
        let head = head.without(&named(&["b"])).unwrap();
        close(&head.scores(&[0.1, 0.6, 0.3]).unwrap(), &[0.25, 0.75]);
        // Rounded away beside one that is sure.
        close(&head.scores(&[0.0, 1.0, 0.0]).unwrap(), &[0.5, 0.5]);
        let raw = head.ranked_by(Activation::Identity, &[0.1, 0.6, 0.3]).unwrap();
        close(&[raw[0].score, raw[1].score], &[0.3, 0.1]);
        let raw =
            without(&["a", "b", "c"], &["b"]).unwrap().ranked_by(Activation::Identity, &[-1.0, 7.0, 4.0]).unwrap();
        let expected = [("c", 4.0), ("a", -1.0)].map(|(label, score)| Verdict { label: label.into(), score });
        assert_eq!(raw, expected);
        let each = without(&["a", "b", "c"], &["b"]).unwrap().ranked_by(Activation::Sigmoid, &[0.0, 7.0, -90.0]);
        assert_eq!(each.unwrap()[0], Verdict { label: "a".into(), score: 0.5 });
    }

    #[test]
    fn the_neutral_band_is_of_what_is_left() {
        let head = without(&["NEGATIVE", "NEUTRAL", "POSITIVE"], &["NEUTRAL"]).unwrap().with_neutral_band(0.7);
        let judged = |logits: &[f32]| head.judge(logits).unwrap();
        // 0.0002 of all, but 0.75 of the two.
        assert_eq!(&*judged(&[0.0, 9.0, 3.0_f32.ln()]).label, "POSITIVE");
        let unsure = judged(&[0.0, -9.0, 0.5]);
        assert_eq!((&*unsure.label, unsure.score < 0.7), ("NEUTRAL", true));
        assert_eq!(head.answers().join(" "), "NEGATIVE POSITIVE NEUTRAL");
        assert_eq!(head.names().len(), 2);
    }

    #[test]
    fn what_can_not_be_left_out_is_told() {
        let error = |result: Result<Head, DropError>| result.unwrap_err().to_string();
        let three = ["bad", "fine", "good"];
        let expected = r#"names "okay", which is no label of the model: its labels are bad, fine, good"#;
        assert_eq!(error(without(&three, &["fine", "okay"])), expected);
        let expected =
            "leaves fewer than two of the model's labels, which are bad, fine, good: name fewer, or unset it";
        assert_eq!(error(without(&three, &["fine", "Good"])), expected);
        assert_eq!(error(without(&three, &three)), expected);
        assert!(error(without(&["a", "b", "b"], &["a"])).starts_with("leaves fewer than two"));
        let many: Vec<String> = (0..60).map(|number| format!("l{number}")).collect();
        let many = Head::new(many, Problem::SingleLabel, Activation::Softmax);
        assert!(error(many.without(&named(&["x"]))).ends_with("l10, l11 and 48 more"));
        for (head, what) in [
            (Head::new(named(&three), Problem::MultiLabel, Activation::Sigmoid), "multi_label_classification"),
            (Head::new(named(&three), Problem::Regression, Activation::Identity), "regression"),
            (Head::binary(["bad".to_owned(), "good".to_owned()], Activation::Sigmoid), "one output"),
            (Head::single_label(&["bad"]), "one output"),
        ] {
            let expected =
                format!("is set, but the model's answers are of {what}, in which no label can be left out: unset it");
            assert_eq!(error(head.without(&named(&["bad"]))), expected);
        }
    }

    #[test]
    fn another_function_ranks_the_same_outputs() {
        let head = Head::single_label(&["a", "b"]);
        let found = |head: &Head, activation, logits: &[f32]| {
            let ranked = head.ranked_by(activation, logits).unwrap();
            ranked.into_iter().map(|verdict| (verdict.label.to_string(), verdict.score)).collect::<Vec<_>>()
        };
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(found(&head, Activation::Identity, &[-1.0, 4.0]), [(b.clone(), 4.0), (a.clone(), -1.0)]);
        assert_eq!(found(&head, Activation::Sigmoid, &[0.0, -90.0])[0], (a.clone(), 0.5));
        let one = Head::binary([a, b.clone()], Activation::Sigmoid);
        assert_eq!(found(&one, Activation::Identity, &[-1.5]), [(b, -1.5)]);
        assert_eq!(head.ranked_by(Activation::Softmax, &[1.0]), None);
    }

    #[test]
    fn answers_are_the_labels_and_neutral_where_there_is_a_band() {
        let answers = |names: &[&str], band| Head::single_label(names).with_neutral_band(band).answers().join(" ");
        assert_eq!(answers(&["a", "b"], 0.0), "a b");
        assert_eq!(answers(&["a", "b", "a"], 0.5), "a b NEUTRAL");
        assert_eq!(answers(&["NEUTRAL", "b"], 0.5), "NEUTRAL b");
    }

    #[test]
    fn candidates_are_scored_by_what_follows() {
        let head = Head::single_label(&["contradiction", "neutral", "Entailment"]);
        let entailment = head.entailment().unwrap();
        assert_eq!(entailment, Entailment { entailment: 2, contradiction: 0 });
        let outputs = [&[0.0, 9.0, 3.0_f32.ln()][..], &[1.0, 0.0, 0.0]];
        close(&entailment.scores(&outputs, false).unwrap(), &[0.75, 0.25]);
        close(&entailment.scores(&outputs, true).unwrap(), &[0.75, 0.268_941_4]);
        assert_eq!(entailment.scores(&[&[0.0]], false), None);
        let two = Head::single_label(&["entailment", "not_entailment"]).entailment();
        assert_eq!(two, Some(Entailment { entailment: 0, contradiction: 1 }));
        assert_eq!(Head::single_label(&["NEGATIVE", "POSITIVE"]).entailment(), None);
        // By the model's own outputs, whatever is left out of the answers.
        for dropped in ["contradiction", "neutral", "entailment"] {
            let left = head.clone().without(&named(&[dropped])).unwrap();
            assert_eq!(left.entailment(), Some(entailment), "{dropped}");
        }
    }

    #[test]
    fn broken_output_has_no_verdict() {
        let head = Head::single_label(&["NEGATIVE", "POSITIVE"]);
        assert_eq!(head.judge(&[f32::NAN, 0.0]), None);
        assert_eq!(head.judge(&[0.0]), None);
        assert_eq!(head.scores(&[f32::INFINITY, 0.0]), None);
        assert_eq!(head.holding(&[0.0]), None);
    }
}
