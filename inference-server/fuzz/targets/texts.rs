//! Any text through the tokenizer: normalization, splitting, lookup and the cut to the model's limit.

#![no_main]

use std::{path::Path, sync::LazyLock};

use inference_server::{engine::Tokenize, model::Tokenizer};
use libfuzzer_sys::fuzz_target;

/// Of the default model.
const CLS: u32 = 101;
const SEP: u32 = 102;
const VOCABULARY: u32 = 30_522;

/// Short, so that texts of the fuzzer's usual length are cut.
const MOST_TOKENS: usize = 32;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default/tokenizer.json");
    Tokenizer::load(&file, MOST_TOKENS).expect("the default model's tokenizer is good")
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match TOKENIZER.tokenize(&text) {
        Ok(tokens) => {
            let ids = &tokens.ids;
            assert!((3..=MOST_TOKENS).contains(&ids.len()), "{text:?} has {} tokens", ids.len());
            assert_eq!((ids[0], ids[ids.len() - 1]), (CLS, SEP), "{text:?} is {ids:?}");
            assert!(ids.iter().all(|id| *id < VOCABULARY), "{text:?} is {ids:?}");
            assert!(tokens.type_ids.is_none_or(|types| types.len() == ids.len()));
            assert_eq!(TOKENIZER.tokenize(&text).expect("as before").ids, *ids, "{text:?} is read in two ways");
        }
        // Only a text of nothing visible has no tokens.
        Err(problem) => assert!(
            !text.chars().any(|character| character.is_ascii_alphanumeric()),
            "{text:?} can't be tokenized: {problem}"
        ),
    }
});
