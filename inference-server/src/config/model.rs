//! Which model is served, and how it is read.

use std::path::PathBuf;

use model::{Digest, LongTexts, ModelConfig, Problem, WrittenAs};

use super::{ConfigError, Reader, Setting, Variable, parse_list};

pub(super) static MODEL_NAME: Setting<String> =
    Setting::text("MLOPS_MODEL_NAME", "default", "Name of the model in answers");
static MODEL_BACKEND: Setting<()> =
    Setting::other("MLOPS_MODEL_BACKEND", "onnx", "onnx", "Kept from version 1; onnx is the only backend", |v, _| {
        v.eq_ignore_ascii_case("onnx").then_some(())
    });
static ONNX_MODEL_PATH: Setting<PathBuf> = Setting::path(
    "MLOPS_ONNX_MODEL_PATH",
    "/app/model",
    "Model directory (config.json, tokenizer.json, an ONNX file), or the ONNX file in one",
);
static MODEL_DIGEST: Setting<Digest> = Setting::other(
    "MLOPS_MODEL_DIGEST",
    "",
    "sha256: and 64 hexadecimal digits, as `sentiment-server model digest` prints it",
    "Digest that the model's files have to have, or nothing is served; default any",
    |v, _| v.parse().ok(),
);
static MAX_TOKENS: Setting<usize> = Setting::count(
    "MLOPS_MAX_TOKENS",
    "",
    &(4..=8192),
    "tokens",
    "Tokens that are read of a text at once; default the model's limit, at most 512",
);
static LONG_TEXTS: Setting<LongTexts> = Setting::other(
    "MLOPS_LONG_TEXTS",
    "cut",
    "cut, windows or refuse",
    "Of a text of more tokens: read the start, read all in windows, or refuse it",
    |v, _| LongTexts::parse(v),
);
static SPLIT_SPECIAL_TOKENS: Setting<bool> = Setting::switch(
    "MLOPS_SPLIT_SPECIAL_TOKENS",
    "true",
    "Read names of special tokens in a text, like [SEP], as text",
);
static LABELS: Setting<Vec<String>> = Setting::other(
    "MLOPS_LABELS",
    "",
    "a JSON or comma-separated list of names",
    "Class names by index; default id2label of config.json",
    |v, _| parse_list(v),
);
static DROP_LABELS: Setting<Vec<String>> = Setting::other(
    "MLOPS_DROP_LABELS",
    "",
    "a JSON or comma-separated list of names",
    "Labels that are never answered, of a model that has three or more to choose from: the others' scores sum to 1 again; default none",
    |v, _| parse_list(v),
);
static NEUTRAL_BAND: Setting<f32> = Setting::other(
    "MLOPS_NEUTRAL_BAND",
    "0",
    "a number from 0 to below 1",
    "Answer NEUTRAL when the winning probability is below this",
    |v, _| v.parse().ok().filter(|band| (0.0..1.0).contains(band)),
);
static PROBLEM_TYPE: Setting<Problem> = Setting::other(
    "MLOPS_PROBLEM_TYPE",
    "",
    "single_label_classification, multi_label_classification or regression",
    "What the model tells of a text; default problem_type of its config.json, else one label",
    |v, _| Problem::parse(v),
);
static THRESHOLD: Setting<f32> = Setting::other(
    "MLOPS_THRESHOLD",
    "0.5",
    "a number from 0 to 1",
    "Score from which on a label holds, of a model of several labels",
    |v, _| v.parse().ok().filter(|t| (0.0..=1.0).contains(t)),
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 12] = [
    &MODEL_NAME.variable,
    &MODEL_BACKEND.variable,
    &ONNX_MODEL_PATH.variable,
    &MODEL_DIGEST.variable,
    &MAX_TOKENS.variable,
    &LONG_TEXTS.variable,
    &SPLIT_SPECIAL_TOKENS.variable,
    &LABELS.variable,
    &DROP_LABELS.variable,
    &NEUTRAL_BAND.variable,
    &PROBLEM_TYPE.variable,
    &THRESHOLD.variable,
];

/// Reads the settings of the model.
pub(super) fn read(read: &Reader<'_>) -> Result<ModelConfig, ConfigError> {
    read.required(&MODEL_BACKEND)?;
    Ok(ModelConfig {
        name: read.required(&MODEL_NAME)?,
        path: read.required(&ONNX_MODEL_PATH)?,
        digest: read.optional(&MODEL_DIGEST)?,
        max_tokens: read.optional(&MAX_TOKENS)?,
        labels: read.optional(&LABELS)?,
        drop_labels: read.optional(&DROP_LABELS)?,
        neutral_band: read.required(&NEUTRAL_BAND)?,
        problem: read.optional(&PROBLEM_TYPE)?,
        threshold: read.required(&THRESHOLD)?,
        long_texts: read.required(&LONG_TEXTS)?,
        split_special_tokens: read.required(&SPLIT_SPECIAL_TOKENS)?,
        written: WrittenAs {
            max_tokens: read.written(&MAX_TOKENS.variable),
            labels: read.written(&LABELS.variable),
            drop_labels: read.written(&DROP_LABELS.variable),
            neutral_band: read.written(&NEUTRAL_BAND.variable),
        },
    })
}
