//! A model's tokenizer, as the tokenizers library reads it.

mod files;
mod forms;
mod special_tokens;
mod vocabulary;
mod windows;

use tokenizers::{
    pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer, Template},
    utils::padding::PaddingDirection,
};

use crate::{LongTexts, ModelConfig, ModelError};
use engine::{Encoding, Input, Tokenize, TokenizeError, Tokens};
pub use files::TokenizerFiles;
use special_tokens::SpecialTokens;

/// Ids in a row that no token has, at most, between two that are there.
const LARGEST_HOLE: u32 = 4096;

/// How texts are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Tokens that the model reads at once, special ones included.
    pub max_tokens: usize,
    /// What is done with a text of more.
    pub long_texts: LongTexts,
    /// Whether names of special tokens in a text are text.
    pub split_special_tokens: bool,
}

impl Reading {
    /// As the settings ask, with the model's limit.
    #[must_use]
    pub fn of(config: &ModelConfig, max_tokens: usize) -> Self {
        let ModelConfig { long_texts, split_special_tokens, .. } = *config;
        Self { max_tokens, long_texts, split_special_tokens }
    }
}

/// A tokenizer that reads as much of a text as the model is to see.
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    options: EncodeOptions,
    /// The special tokens around a text.
    template: Template,
    /// Those around and between two texts.
    pair_template: Template,
    special_tokens: SpecialTokens,
    /// Tokens of a text with nothing in it.
    of_nothing: usize,
    reading: Reading,
    /// From this id on the model has no row.
    unknown_from: Option<u32>,
    last_id: u32,
}

impl Tokenizer {
    /// Reads a tokenizer's files, of whichever version wrote them.
    pub fn load(files: &TokenizerFiles, reading: Reading) -> Result<Self, ModelError> {
        let bad = |problem: String| ModelError::BadFile { path: files.main().to_owned(), problem };
        let pipeline = files.pipeline()?;
        let options = EncodeOptions {
            // Done here, since the library doesn't tell what it has cut, nor gives the rest.
            add_special_tokens: false,
            truncation: Override::Off,
            // Batches are padded to their own longest text, whatever the file asks for.
            padding: Override::Off,
            encode_special_tokens: reading.split_special_tokens,
        };
        let special_tokens = if reading.split_special_tokens {
            SpecialTokens::of(&pipeline, &options).map_err(bad)?
        } else {
            SpecialTokens::none()
        };
        let of_nothing = encode(&pipeline, "", &options).map_err(bad)?.len();
        let template = pipeline.get_post_processor().single.clone();
        let pair_template = pipeline.get_post_processor().pair.clone();
        let (around, most) = (template.n_special(), reading.max_tokens);
        if around >= most {
            return Err(bad(format!("it puts {around} special tokens around a text, and {most} are read in all")));
        }
        // Here, as a session is loaded beside this.
        let last_id = last_id(&pipeline);
        Ok(Self {
            pipeline,
            options,
            template,
            pair_template,
            special_tokens,
            of_nothing,
            reading,
            last_id,
            unknown_from: None,
        })
    }

    /// Reads fewer tokens at once.
    pub fn cut_to(&mut self, max_tokens: usize) {
        self.reading.max_tokens = max_tokens;
    }

    /// As much of a text as the model reads at once, whatever is done with longer ones.
    pub fn start_of(&self, text: &str) -> Result<Tokens, TokenizeError> {
        let ids = self.encode(text)?;
        Ok(self.window(&ids[..ids.len().min(self.room())]))
    }

    /// Whether its model was taught with padding before the texts, not behind them.
    #[must_use]
    pub fn pads_left(&self) -> bool {
        self.pipeline.get_padding().is_some_and(|padding| padding.direction == PaddingDirection::Left)
    }

    /// The highest id that a token has.
    #[must_use]
    pub fn last_id(&self) -> u32 {
        self.last_id
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        token(&self.pipeline, id)
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

    /// Tokens that the model reads of a text at once, beside the special ones around it.
    fn room(&self) -> usize {
        self.reading.max_tokens.saturating_sub(self.template.n_special())
    }

    /// The tokens of the whole text, without the special ones around it.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let ids = self.special_tokens.spell(encode(&self.pipeline, text, &self.options)?);
        if ids.len() <= self.of_nothing {
            return Err("nothing in it is visible to the model".to_owned().into());
        }
        Ok(ids)
    }

    /// Two texts that are read together. Of such that are too long together the longer one is cut first, as transformers
    /// does it; there are no windows of them.
    fn pair(&self, mut first: Vec<u32>, mut second: Vec<u32>) -> Result<Encoding, TokenizeError> {
        let Template { prefix, infix, suffix, a_type_id, b_type_id } = &self.pair_template;
        let (special, most) = (self.pair_template.n_special(), self.reading.max_tokens);
        let tokens = first.len() + second.len() + special;
        let truncated = tokens > most;
        if truncated && self.reading.long_texts == LongTexts::Refuse {
            return Err(TokenizeError::TooLong { tokens, most });
        }
        let (kept, kept_of_second) = longest_first(first.len(), second.len(), most.saturating_sub(special));
        first.truncate(kept);
        second.truncate(kept_of_second);
        let second_type = b_type_id.unwrap_or(*a_type_id);
        let special = |run: &[(PipelineToken, u8)]| run.iter().map(|(id, kind)| (id.id(), *kind)).collect::<Vec<_>>();
        let of = |ids: Vec<u32>, kind: u8| ids.into_iter().map(move |id| (id, kind));
        let tokens = special(prefix).into_iter().chain(of(first, *a_type_id)).chain(special(infix));
        let tokens = tokens.chain(of(second, second_type)).chain(special(suffix));
        let (ids, kinds): (Vec<u32>, Vec<u8>) = tokens.unzip();
        self.check(&ids)?;
        let type_ids = self.pair_template.has_type_ids().then_some(kinds);
        Ok(Encoding { windows: vec![Tokens { ids, type_ids }], truncated })
    }

    /// Tokens with the special ones around them.
    fn window(&self, inner: &[u32]) -> Tokens {
        let Template { prefix, suffix, a_type_id, .. } = &self.template;
        let mut ids = Vec::with_capacity(inner.len() + self.template.n_special());
        ids.extend(prefix.iter().map(|(id, _)| id.id()));
        ids.extend_from_slice(inner);
        ids.extend(suffix.iter().map(|(id, _)| id.id()));
        let type_ids = self.template.has_type_ids().then(|| {
            let of = |run: &[(_, u8)]| run.iter().map(|(_, type_id)| *type_id).collect::<Vec<u8>>();
            [of(prefix), vec![*a_type_id; inner.len()], of(suffix)].concat()
        });
        Tokens { ids, type_ids }
    }
}

/// How many tokens are kept of two texts where there is room for so many.
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let half = room / 2;
    if first <= half {
        (first, room - first)
    } else if second <= half {
        (room - second, second)
    } else {
        // What is one too many goes from the second.
        (room - half, half)
    }
}

fn token(pipeline: &PipelineTokenizer, id: u32) -> Option<String> {
    pipeline.decode_tokens(&[id], false).pop()
}

fn last_id(pipeline: &PipelineTokenizer) -> u32 {
    let mut last = 0;
    // Vocabularies have holes, and none so large.
    let mut id = 0;
    while id <= last + LARGEST_HOLE {
        if token(pipeline, id).is_some() {
            last = id;
        }
        id += 1;
    }
    last
}

fn encode(pipeline: &PipelineTokenizer, text: &str, options: &EncodeOptions) -> Result<Vec<u32>, String> {
    let mut encodings = pipeline.encode(text, options).wait().map_err(|error| error.to_string())?;
    let encoding = encodings.pop().ok_or("no encoding")?;
    Ok(encoding.ids().iter().map(|token| token.id()).collect())
}

impl Tokenize for Tokenizer {
    fn tokenize(&self, input: &Input<'_>) -> Result<Encoding, TokenizeError> {
        let ids = self.encode(&input.text)?;
        if let Some(pair) = &input.pair {
            return self.pair(ids, self.encode(pair)?);
        }
        let room = self.room();
        let (windows, truncated) = if ids.len() <= room {
            (vec![self.window(&ids)], false)
        } else {
            match self.reading.long_texts {
                LongTexts::Cut => (vec![self.window(&ids[..room])], true),
                LongTexts::Windows => {
                    let windows = windows::windows(ids.len(), room);
                    (windows.map(|window| self.window(&ids[window])).collect(), false)
                }
                LongTexts::Refuse => {
                    let tokens = ids.len() + self.template.n_special();
                    return Err(TokenizeError::TooLong { tokens, most: self.reading.max_tokens });
                }
            }
        };
        for window in &windows {
            self.check(&window.ids)?;
        }
        Ok(Encoding { windows, truncated })
    }

    fn most_tokens(&self) -> usize {
        match self.reading.long_texts {
            LongTexts::Cut | LongTexts::Refuse => self.reading.max_tokens,
            LongTexts::Windows => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::longest_first;

    #[test]
    fn of_two_texts_the_longer_is_cut_first() {
        assert_eq!(longest_first(3, 4, 7), (3, 4));
        assert_eq!(longest_first(2, 90, 10), (2, 8));
        assert_eq!(longest_first(90, 2, 10), (8, 2));
        assert_eq!(longest_first(90, 90, 11), (6, 5));
        assert_eq!(longest_first(9, 9, 0), (0, 0));
    }
}
