//! The files of a tokenizer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tokenizers::{canonicalize_value, from_json, from_json_file, pipeline::PipelineTokenizer};

use super::{forms, vocabulary, vocabulary::Settings};
use crate::{ModelError, lenient};

/// What a tokenizer is read from. Files that only some models have are `None` where they aren't there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerFiles {
    /// `tokenizer.json`.
    Whole(PathBuf),
    /// `vocab.txt`, from before there was `tokenizer.json`.
    WordPieces {
        /// One token a line.
        vocabulary: PathBuf,
        /// `tokenizer_config.json` and `added_tokens.json`.
        beside: [Option<PathBuf>; 2],
    },
    /// `vocab.json` and `merges.txt`, from before there was `tokenizer.json`.
    BytePairs {
        /// Ids by token.
        vocabulary: PathBuf,
        /// One merge a line.
        merges: PathBuf,
        /// `tokenizer_config.json` and `added_tokens.json`.
        beside: [Option<PathBuf>; 2],
    },
}

impl TokenizerFiles {
    /// The files in a model's directory.
    pub fn find(root: &Path) -> Result<Self, ModelError> {
        let there = |name: &str| Some(root.join(name)).filter(|path| path.is_file());
        // Also where a link leads nowhere: the error then names the file that is missing.
        if root.join("tokenizer.json").symlink_metadata().is_ok() {
            return Ok(Self::Whole(root.join("tokenizer.json")));
        }
        let beside = ["tokenizer_config.json", "added_tokens.json"].map(there);
        if let (Some(vocabulary), Some(merges)) = (there("vocab.json"), there("merges.txt")) {
            return Ok(Self::BytePairs { vocabulary, merges, beside });
        }
        // Beside bpe.codes a vocab.txt is of another kind.
        if let (Some(vocabulary), None) = (there("vocab.txt"), there("bpe.codes")) {
            return Ok(Self::WordPieces { vocabulary, beside });
        }
        let pieces = ["sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "bpe.codes"];
        let found = pieces.into_iter().find(|name| root.join(name).is_file());
        Err(ModelError::NoTokenizer { directory: root.to_owned(), found })
    }

    /// All of them, each of which shapes answers.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Whole(file) => vec![file],
            Self::WordPieces { vocabulary, beside } => {
                [vocabulary.as_path()].into_iter().chain(beside.iter().flatten().map(PathBuf::as_path)).collect()
            }
            Self::BytePairs { vocabulary, merges, beside } => [vocabulary.as_path(), merges.as_path()]
                .into_iter()
                .chain(beside.iter().flatten().map(PathBuf::as_path))
                .collect(),
        }
    }

    /// The file that is named where something is wrong with the tokenizer.
    #[must_use]
    pub fn main(&self) -> &Path {
        match self {
            Self::Whole(file) => file,
            Self::WordPieces { vocabulary, .. } | Self::BytePairs { vocabulary, .. } => vocabulary,
        }
    }

    /// Reads them.
    pub(super) fn pipeline(&self) -> Result<PipelineTokenizer, ModelError> {
        let bad = |problem: String| ModelError::BadFile { path: self.main().to_owned(), problem };
        let mut file = match self {
            Self::Whole(file) => {
                lenient::not_a_pointer(file)?;
                // The library's own form is tried first: rewriting another one costs half the time of a start.
                if let Ok(pipeline) = from_json_file(file) {
                    return Ok(pipeline);
                }
                json(file)?
            }
            Self::WordPieces { vocabulary, beside: [settings, added] } => {
                let settings = Settings::of(optional(settings.as_deref())?);
                vocabulary::of_word_pieces(&text(vocabulary)?, &settings, &object(added.as_deref())?).map_err(bad)?
            }
            Self::BytePairs { vocabulary, merges, beside: [settings, added] } => {
                let settings = Settings::of(optional(settings.as_deref())?);
                let added = object(added.as_deref())?;
                vocabulary::of_byte_pairs(json(vocabulary)?, &text(merges)?, &settings, &added).map_err(bad)?
            }
        };
        forms::rewrite(&mut file).map_err(bad)?;
        canonicalize_value(&mut file).map_err(|error| bad(error.to_string()))?;
        from_json(&file.to_string()).map_err(|error| bad(error.to_string()))
    }
}

fn text(file: &Path) -> Result<String, ModelError> {
    lenient::not_a_pointer(file)?;
    fs::read_to_string(file).map_err(|source| ModelError::Unreadable { path: file.to_owned(), source })
}

fn json(file: &Path) -> Result<Value, ModelError> {
    let bad = |error: serde_json::Error| ModelError::BadFile { path: file.to_owned(), problem: error.to_string() };
    serde_json::from_str(lenient::without_mark(&text(file)?)).map_err(bad)
}

fn optional(file: Option<&Path>) -> Result<Value, ModelError> {
    file.map_or(Ok(Value::Null), json)
}

fn object(file: Option<&Path>) -> Result<Map<String, Value>, ModelError> {
    match optional(file)? {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}
