//! Finds the files of a model directory in the Hugging Face layout.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{self, Path, PathBuf},
};

use serde::Deserialize;

use super::{Labels, ModelError, held::HeldFile};
use crate::{ModelConfig, SettingError};

/// The predecessor's order; any other `*.onnx` comes after these.
const MODEL_FILES: [&str; 4] = ["model.quantized.onnx", "model_quantized.onnx", "model_optimized.onnx", "model.onnx"];

/// Longest text that is run unless the settings say otherwise: attention costs grow with its square.
const DEFAULT_MAX_TOKENS: usize = 512;

/// The parts of `config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
struct ModelJson {
    #[serde(default)]
    id2label: BTreeMap<usize, String>,
    max_position_embeddings: Option<usize>,
    model_type: Option<String>,
    pad_token_id: Option<usize>,
}

/// A model directory whose files were found.
#[derive(Debug)]
pub struct ModelDirectory {
    /// The directory that holds `config.json` and `tokenizer.json`.
    pub root: PathBuf,
    /// The ONNX file.
    pub model_file: PathBuf,
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
        let text = config.read_to_string().map_err(|source| unreadable(&file, source))?;
        let json = serde_json::from_str(&text)
            .map_err(|error| ModelError::BadFile { path: file, problem: error.to_string() })?;
        Ok(Self { root, model_file, config, json })
    }

    /// Whether `config.json` is what was read.
    pub(super) fn is_current(&self) -> bool {
        self.config.is_current()
    }

    /// Where the tokenizer is.
    #[must_use]
    pub fn tokenizer_file(&self) -> PathBuf {
        self.root.join("tokenizer.json")
    }

    /// Tokens a text is cut to: what is asked for, if the model has positions for it.
    pub(super) fn token_limit(&self, config: &ModelConfig) -> Result<usize, SettingError> {
        // RoBERTa and its kin number positions from behind the padding token's.
        let reserved = match self.json.model_type.as_deref() {
            Some("roberta" | "xlm-roberta" | "camembert" | "mpnet") => self.json.pad_token_id.unwrap_or(1) + 1,
            _ => 0,
        };
        let most = self.json.max_position_embeddings.map(|positions| positions.saturating_sub(reserved));
        match (config.max_tokens, most) {
            (asked, Some(most)) => config.within(asked.unwrap_or(DEFAULT_MAX_TOKENS), most),
            (asked, None) => Ok(asked.unwrap_or(DEFAULT_MAX_TOKENS)),
        }
    }

    /// Whether `config.json` says for how many tokens the model has positions.
    pub(super) fn declares_positions(&self) -> bool {
        self.json.max_position_embeddings.is_some()
    }

    /// Names for the model's classes: the settings', else `id2label`, else `LABEL_0` and so on as
    /// the transformers library calls unnamed ones.
    pub(super) fn labels(&self, config: &ModelConfig, classes: usize) -> Result<Labels, ModelError> {
        let names = if let Some(labels) = &config.labels {
            if labels.len() != classes {
                let setting = config.written.labels.clone();
                return Err(SettingError::WrongLabelCount { setting, given: labels.len(), classes }.into());
            }
            labels.clone()
        } else if self.json.id2label.is_empty() {
            (0..classes).map(|index| format!("LABEL_{index}")).collect()
        } else {
            let names: Vec<String> = (0..classes).map_while(|index| self.json.id2label.get(&index).cloned()).collect();
            if names.len() != classes || self.json.id2label.len() != classes {
                return Err(ModelError::LabelCount { named: self.json.id2label.len(), classes });
            }
            names
        };
        Ok(Labels::new(names, config.neutral_band))
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
