//! `tokenizer.json`, read by the tokenizers library.

use std::path::Path;

use tokenizers::{
    TruncationDirection, TruncationParams, TruncationStrategy, canonicalize_file, from_json, from_json_file,
    pipeline::{EncodeOptions, Override, PipelineTokenizer},
};

use super::ModelError;
use crate::engine::{Encoding, Tokenize, Tokens};

/// Ids in a row that no token has, at most, between two that are there.
const LARGEST_HOLE: u32 = 4096;

/// A tokenizer that cuts texts to the model's limit.
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    options: EncodeOptions,
    /// Tokens of a text with nothing in it: the special ones.
    of_nothing: usize,
    max_tokens: usize,
    /// From this id on the model has no row.
    unknown_from: Option<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, of whichever version wrote it.
    pub fn load(file: &Path, max_tokens: usize) -> Result<Self, ModelError> {
        if let Err(source) = std::fs::File::open(file) {
            return Err(ModelError::Unreadable { path: file.to_owned(), source });
        }
        let bad = |problem: String| ModelError::BadFile { path: file.to_owned(), problem };
        // The canonical form is tried first: rewriting an older one costs half the time of a start.
        let pipeline = if let Ok(pipeline) = from_json_file(file) {
            pipeline
        } else {
            let canonical = canonicalize_file(file).map_err(|error| bad(error.to_string()))?;
            from_json(&canonical).map_err(|error| bad(error.to_string()))?
        };
        let options = EncodeOptions {
            // Batches are padded to their own longest text, whatever the file asks for.
            padding: Override::Off,
            truncation: Override::With(truncation(max_tokens)),
            ..EncodeOptions::default()
        };
        let nothing = pipeline.encode("", &options).wait().map_err(|error| bad(error.to_string()))?;
        let of_nothing = nothing.first().map_or(0, |encoding| encoding.ids().len());
        Ok(Self { pipeline, options, of_nothing, max_tokens, unknown_from: None })
    }
}

impl Tokenizer {
    /// Cuts texts to another limit.
    pub fn cut_to(&mut self, max_tokens: usize) {
        self.max_tokens = max_tokens;
        self.options.truncation = Override::With(truncation(max_tokens));
    }

    /// The highest id that a token has.
    #[must_use]
    pub fn last_id(&self) -> u32 {
        let mut last = 0;
        // Vocabularies have holes, and none so large.
        let mut id = 0;
        while id <= last + LARGEST_HOLE {
            if self.token(id).is_some() {
                last = id;
            }
            id += 1;
        }
        last
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.pipeline.decode_tokens(&[id], false).pop()
    }

    /// Refuses texts with a token of this id or a higher one.
    pub fn refuse_from(&mut self, id: u32) {
        self.unknown_from = Some(id);
    }

    fn check(&self, ids: &[u32]) -> Result<(), String> {
        let Some(unknown_from) = self.unknown_from else { return Ok(()) };
        match ids.iter().find(|id| **id >= unknown_from) {
            Some(id) => Err(format!("the model has no row for its token {}", self.token(*id).unwrap_or_default())),
            None => Ok(()),
        }
    }
}

fn truncation(max_tokens: usize) -> TruncationParams {
    TruncationParams {
        direction: TruncationDirection::Right,
        max_length: max_tokens,
        strategy: TruncationStrategy::LongestFirst,
        stride: 0,
    }
}

impl Tokenize for Tokenizer {
    fn tokenize(&self, text: &str) -> Result<Encoding, String> {
        let encodings = self.pipeline.encode(text, &self.options).wait().map_err(|error| error.to_string())?;
        let encoding = encodings.into_iter().next().ok_or("no encoding")?;
        if encoding.ids().len() <= self.of_nothing {
            return Err("nothing in it is visible to the model".to_owned());
        }
        let tokens = Tokens {
            ids: encoding.ids().iter().map(|token| u32::from(*token)).collect(),
            type_ids: encoding.type_ids().map(<[u8]>::to_vec),
        };
        self.check(&tokens.ids)?;
        Ok(Encoding { windows: vec![tokens], truncated: false })
    }

    fn most_tokens(&self) -> usize {
        self.max_tokens
    }
}
