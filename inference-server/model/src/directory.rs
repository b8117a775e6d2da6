//! Finds the files of a model directory in the Hugging Face layout.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
};

use super::{Activation, Head, ModelError, Problem, TokenizerFiles, held::HeldFile, lenient, model_json::ModelJson};
use crate::{ModelConfig, SettingError};

/// The predecessor's order; any other `*.onnx` comes after these.
const MODEL_FILES: [&str; 4] = ["model.quantized.onnx", "model_quantized.onnx", "model_optimized.onnx", "model.onnx"];

/// Longest text that is run unless the settings say otherwise: attention costs grow with its square.
const DEFAULT_MAX_TOKENS: usize = 512;

/// A model directory whose files were found.
#[derive(Debug)]
pub struct ModelDirectory {
    /// The directory that holds `config.json` and `tokenizer.json`.
    pub root: PathBuf,
    /// The ONNX file.
    pub model_file: PathBuf,
    /// What the tokenizer is read from.
    pub tokenizer: TokenizerFiles,
    config: HeldFile,
    json: ModelJson,
}

impl ModelDirectory {
    /// Opens a directory, or the directory of an ONNX file.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |path: &Path, source: io::Error| ModelError::Unreadable { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        // A file by its bare name is in no folder, and what is beside it can't be looked for.
        let path = path::absolute(path).map_err(|source| unreadable(path, source))?;
        let (root, model_file) = if metadata.is_dir() {
            let model_file = find_model(&path)?;
            (path, model_file)
        } else {
            (root_of(&path), path)
        };
        let file = root.join("config.json");
        let config = HeldFile::open(&file).map_err(|source| unreadable(&file, source))?;
        lenient::not_a_pointer(&file)?;
        let text = config.read_to_string().map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => {
                ModelError::BadFile { path: file.clone(), problem: "it isn't UTF-8: save it as such".to_owned() }
            }
            _ => unreadable(&file, source),
        })?;
        let json = ModelJson::read(&text).map_err(|problem| ModelError::BadFile { path: file, problem })?;
        let tokenizer = TokenizerFiles::find(&root)?;
        Ok(Self { root, model_file, tokenizer, config, json })
    }

    /// `config.json`, as it was read.
    pub(super) fn into_config(self) -> HeldFile {
        self.config
    }

    pub(super) fn config(&self) -> &HeldFile {
        &self.config
    }

    /// Whether `config.json` is what was read.
    pub(super) fn is_current(&self) -> bool {
        self.config.is_current()
    }

    /// Tokens a text is cut to: what is asked for, if the model has positions for it.
    pub(super) fn token_limit(&self, config: &ModelConfig) -> Result<usize, SettingError> {
        let most = self.json.positions().map(|positions| positions.saturating_sub(self.first_position()));
        match (config.max_tokens, most) {
            (asked, Some(most)) => config.within(asked.unwrap_or(DEFAULT_MAX_TOKENS), most),
            (asked, None) => Ok(asked.unwrap_or(DEFAULT_MAX_TOKENS)),
        }
    }

    /// The first token's position: `RoBERTa` and its kin number them from behind the padding token's.
    pub(super) fn first_position(&self) -> usize {
        if self.json.counts_from_padding() { self.json.padding().unwrap_or(1) + 1 } else { 0 }
    }

    /// The id of the token that fills a batch up; 0 where `config.json` doesn't say.
    pub(super) fn padding(&self) -> u32 {
        self.json.padding().and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
    }

    /// Labels that `config.json` names, where it names them rightly.
    pub(super) fn named_labels(&self) -> Option<usize> {
        self.json.labels().ok().map(|names| names.len()).filter(|count| *count > 0)
    }

    /// The architecture, as transformers calls it.
    pub(super) fn family(&self) -> Option<&str> {
        self.json.family()
    }

    /// Whether `config.json` says for how many tokens the model has positions.
    pub(super) fn declares_positions(&self) -> bool {
        self.json.positions().is_some()
    }

    /// How so many outputs are read. `is_activated` says that the graph has made scores of them.
    pub(super) fn head(&self, config: &ModelConfig, outputs: usize, is_activated: bool) -> Result<Head, ModelError> {
        let problem = match config.problem {
            Some(problem) => problem,
            None => self.problem()?,
        };
        let mut activation = Activation::of(problem, outputs);
        if is_activated {
            activation = Activation::Identity;
        }
        if problem != Problem::SingleLabel && config.neutral_band > 0.0 {
            let setting = config.written.neutral_band.clone();
            return Err(SettingError::NoNeutralBand { setting, problem: problem.as_str() }.into());
        }
        let names = self.names(config, outputs, problem)?;
        let head = match <[String; 2]>::try_from(names) {
            Ok(names) if outputs == 1 => Head::binary(names, activation),
            Ok(names) => Head::new(names.into(), problem, activation),
            Err(names) => Head::new(names, problem, activation),
        };
        let head = match &config.drop_labels {
            Some(dropped) => head.without(dropped).map_err(|problem| {
                let setting = config.written.drop_labels.clone();
                SettingError::NotDropped { setting, problem }
            })?,
            None => head,
        };
        Ok(head.with_neutral_band(config.neutral_band).with_threshold(config.threshold))
    }

    /// What `config.json` says that the model tells.
    fn problem(&self) -> Result<Problem, ModelError> {
        let Some(named) = self.json.problem() else { return Ok(Problem::SingleLabel) };
        Problem::parse(named).ok_or_else(|| {
            let known = Problem::ALL.map(Problem::as_str).join(", ");
            let problem =
                format!("its problem_type is {named:?}, and served are {known}; MLOPS_PROBLEM_TYPE overrides it");
            ModelError::BadFile { path: self.root.join("config.json"), problem }
        })
    }

    /// Names for the model's outputs: the settings', else `id2label`, else `LABEL_0` and so on as the transformers library
    /// calls unnamed ones. A single output may have two: what it doesn't speak for, and what it does.
    fn names(&self, config: &ModelConfig, outputs: usize, problem: Problem) -> Result<Vec<String>, ModelError> {
        let fits = |names: usize| names == outputs || (names == 2 && outputs == 1 && problem == Problem::SingleLabel);
        if let Some(labels) = &config.labels {
            if !fits(labels.len()) {
                let setting = config.written.labels.clone();
                return Err(SettingError::WrongLabelCount { setting, given: labels.len(), classes: outputs }.into());
            }
            return Ok(labels.clone());
        }
        let names = self.json.labels().map_err(|problem| {
            let problem = format!("{problem}; MLOPS_LABELS names the labels otherwise");
            ModelError::BadFile { path: self.root.join("config.json"), problem }
        })?;
        if names.is_empty() {
            return Ok((0..outputs).map(|index| format!("LABEL_{index}")).collect());
        }
        if !fits(names.len()) {
            return Err(ModelError::LabelCount { named: names.len(), classes: outputs });
        }
        Ok(names)
    }
}

fn find_model(directory: &Path) -> Result<PathBuf, ModelError> {
    // The exporters put ONNX files either at the top or into a folder of this name.
    for folder in [directory.to_owned(), directory.join("onnx")] {
        if let Some(name) = MODEL_FILES.iter().find(|name| folder.join(name).is_file()) {
            return Ok(folder.join(name));
        }
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        let first = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "onnx"))
            // Beside each file macOS leaves one of the same name behind a dot.
            .filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")))
            .min();
        if let Some(path) = first {
            return Ok(path);
        }
    }
    Err(ModelError::NoModelFile(directory.to_owned()))
}

/// The directory with `config.json` that an ONNX file belongs to.
fn root_of(model_file: &Path) -> PathBuf {
    let parent = model_file.parent().unwrap_or(Path::new("."));
    let above = parent.parent().filter(|above| above.join("config.json").is_file());
    match above {
        Some(above) if parent.ends_with("onnx") && !parent.join("config.json").is_file() => above.to_owned(),
        _ => parent.to_owned(),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
