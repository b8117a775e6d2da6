//! Special tokens, whose names in a text are text.

use tokenizers::pipeline::{EncodeOptions, PipelineTokenizer};

use super::encode;

/// Letters of scripts that vocabularies don't have: what a tokenizer makes of them stands for the unknown.
const UNKNOWN_LETTERS: [&str; 3] = ["\u{12000}", "\u{10380}", "\u{13000}"];

/// The special tokens of a vocabulary that mean something to the model, such as the end of a text, and which a text
/// therefore mustn't hold.
///
/// That their names aren't looked for, which `encode_special_tokens` says, isn't enough: they are entries of the model's
/// own vocabulary too, and some models find them there. Unigram takes `</s>` for the likeliest of all pieces, and a model of
/// whole words finds any name that stands between spaces.
pub(super) struct SpecialTokens {
    /// For each token what its name is spelled with.
    spellings: Vec<(u32, Vec<u32>)>,
}

impl SpecialTokens {
    /// None, so that any may be in a text.
    pub(super) fn none() -> Self {
        Self { spellings: Vec::new() }
    }

    /// Those of a tokenizer, with which `options` reads names as text.
    pub(super) fn of(pipeline: &PipelineTokenizer, options: &EncodeOptions) -> Result<Self, String> {
        let added = pipeline.get_added_vocabulary().get_added_tokens_decoder();
        let mut special: Vec<_> = added.into_iter().filter(|(_, token)| token.special).collect();
        special.sort_unstable_by_key(|(id, _)| *id);
        let is_special = |id: u32| special.binary_search_by_key(&id, |(id, _)| *id).is_ok();
        let mut unknown = Vec::new();
        for letter in UNKNOWN_LETTERS {
            // The unknown is special by name, but a part of many a text.
            unknown.extend(encode(pipeline, letter, options)?.into_iter().filter(|id| is_special(*id)));
        }
        let mut spellings = Vec::with_capacity(special.len());
        for (id, token) in special.iter().filter(|(id, _)| !unknown.contains(id)) {
            // In two, so that it isn't found again.
            let first = token.content.chars().next().map_or(0, char::len_utf8);
            let (first, rest) = token.content.split_at(first);
            let mut spelling = encode(pipeline, first, options)?;
            spelling.extend(encode(pipeline, rest, options)?);
            spelling.retain(|id| !is_special(*id) || unknown.contains(id));
            if spelling.is_empty() {
                spelling.extend(unknown.first());
            }
            spellings.push((*id, spelling));
        }
        Ok(Self { spellings })
    }

    /// Spells out the tokens of a text that are special.
    pub(super) fn spell(&self, ids: Vec<u32>) -> Vec<u32> {
        let ([(first, _), ..], [.., (last, _)]) = (&self.spellings[..], &self.spellings[..]) else { return ids };
        // Nearly no text has one, so each token costs two comparisons.
        let find = |id: u32| {
            let place = (*first..=*last).contains(&id).then(|| self.spellings.binary_search_by_key(&id, |(id, _)| *id));
            place.and_then(Result::ok).map(|place| &self.spellings[place].1)
        };
        if ids.iter().all(|id| find(*id).is_none()) {
            return ids;
        }
        ids.iter().flat_map(|id| find(*id).map_or(std::slice::from_ref(id), Vec::as_slice)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_special_tokens_are_spelled_out() {
        let special = SpecialTokens { spellings: vec![(2, vec![20, 21]), (5, vec![50]), (7, vec![])] };
        assert_eq!(special.spell(vec![1, 3, 4, 6, 8]), [1, 3, 4, 6, 8]);
        assert_eq!(special.spell(vec![1, 2, 3, 5, 7, 2]), [1, 20, 21, 3, 50, 20, 21]);
        assert_eq!(SpecialTokens::none().spell(vec![2]), [2]);
    }
}
