//! `tokenizer.json`, read by the tokenizers library.

use std::path::Path;

use tokenizers::{
    TruncationDirection, TruncationParams, TruncationStrategy, canonicalize_file, from_json, from_json_file,
    pipeline::{EncodeOptions, Override, PipelineTokenizer},
};

use super::ModelError;
use crate::engine::{Tokenize, Tokens};

/// A tokenizer that cuts texts to the model's limit.
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    options: EncodeOptions,
    /// Tokens of a text with nothing in it: the special ones.
    of_nothing: usize,
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
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let options = EncodeOptions {
            // Batches are padded to their own longest text, whatever the file asks for.
            padding: Override::Off,
            truncation: Override::With(truncation),
            ..EncodeOptions::default()
        };
        let nothing = pipeline.encode("", &options).wait().map_err(|error| bad(error.to_string()))?;
        let of_nothing = nothing.first().map_or(0, |encoding| encoding.ids().len());
        Ok(Self { pipeline, options, of_nothing })
    }
}

impl Tokenize for Tokenizer {
    fn tokenize(&self, text: &str) -> Result<Tokens, String> {
        let encodings = self.pipeline.encode(text, &self.options).wait().map_err(|error| error.to_string())?;
        let encoding = encodings.into_iter().next().ok_or("no encoding")?;
        if encoding.ids().len() <= self.of_nothing {
            return Err("nothing in it is visible to the model".to_owned());
        }
        Ok(Tokens {
            ids: encoding.ids().iter().map(|token| u32::from(*token)).collect(),
            type_ids: encoding.type_ids().map(<[u8]>::to_vec),
        })
    }
}
