//! Any text through the tokenizer: normalization, splitting, lookup and the cut to the model's limit.

#![no_main]

use std::{path::Path, sync::LazyLock};

use engine::{Tokenize, TokenizeError, Tokens};
use libfuzzer_sys::fuzz_target;
use model::LongTexts;
use model::{Reading, Tokenizer, TokenizerFiles};

/// Of the default model.
const CLS: u32 = 101;
const SEP: u32 = 102;
const VOCABULARY: u32 = 30_522;

/// Short, so that texts of the fuzzer's usual length are cut.
const MOST_TOKENS: usize = 32;

/// Special tokens: none is in the middle of a text, but for the unknown one.
const SPECIAL: [u32; 4] = [0, CLS, SEP, 103];

fn tokenizer(long_texts: LongTexts) -> Tokenizer {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default/tokenizer.json");
    let reading = Reading { max_tokens: MOST_TOKENS, long_texts, split_special_tokens: true };
    Tokenizer::load(&TokenizerFiles::Whole(file), reading).expect("the default model's tokenizer is good")
}

static CUTTING: LazyLock<Tokenizer> = LazyLock::new(|| tokenizer(LongTexts::Cut));
static WINDOWS: LazyLock<Tokenizer> = LazyLock::new(|| tokenizer(LongTexts::Windows));
static REFUSING: LazyLock<Tokenizer> = LazyLock::new(|| tokenizer(LongTexts::Refuse));

fn check(text: &str, Tokens { ids, type_ids }: &Tokens) {
    assert!((3..=MOST_TOKENS).contains(&ids.len()), "{text:?} has {} tokens", ids.len());
    assert_eq!((ids[0], ids[ids.len() - 1]), (CLS, SEP), "{text:?} is {ids:?}");
    assert!(ids.iter().all(|id| *id < VOCABULARY), "{text:?} is {ids:?}");
    assert!(ids[1..ids.len() - 1].iter().all(|id| !SPECIAL.contains(id)), "{text:?} is {ids:?}");
    assert!(type_ids.as_ref().is_none_or(|types| types.len() == ids.len()));
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match CUTTING.tokenize(&(*text).into()) {
        Ok(cut) => {
            assert_eq!(cut.windows.len(), 1);
            check(&text, &cut.windows[0]);
            assert_eq!(CUTTING.tokenize(&(*text).into()).expect("as before"), cut, "{text:?} is read in two ways");
            let windows = WINDOWS.tokenize(&(*text).into()).expect("as it was cut");
            windows.windows.iter().for_each(|window| check(&text, window));
            assert_eq!((windows.windows.len() > 1, windows.truncated), (cut.truncated, false), "{text:?}");
            let refused = REFUSING.tokenize(&(*text).into());
            assert_eq!(matches!(refused, Err(TokenizeError::TooLong { .. })), cut.truncated, "{text:?}");
        }
        // Only a text of nothing visible has no tokens.
        Err(problem) => assert!(
            !text.chars().any(|character| character.is_ascii_alphanumeric()),
            "{text:?} can't be tokenized: {problem}"
        ),
    }
});
