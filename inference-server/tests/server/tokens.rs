//! Token ids equal those of Python's tokenizers library.

use std::{fs, path::PathBuf};

use engine::{Encoding, Input, Tokenize, TokenizeError, Tokens};
use model::LongTexts;
use model::{Reading, Tokenizer, TokenizerFiles};
use serde::{Deserialize, de::DeserializeOwned};

use crate::common;

const READING: Reading = Reading { max_tokens: 512, long_texts: LongTexts::Cut, split_special_tokens: true };

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

/// What Python makes of a text, by whether it looks for the names of special tokens.
#[derive(Deserialize)]
struct Named {
    tokenizer: String,
    text: String,
    matched: Vec<u32>,
    split: Vec<u32>,
}

fn rows<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let rows: Vec<T> = serde_json::from_str(&fs::read_to_string(common::fixture(name)).unwrap()).unwrap();
    assert!(rows.len() > 30);
    rows
}

fn file(tokenizer: &str) -> PathBuf {
    match tokenizer {
        "default" => common::default_model().join("tokenizer.json"),
        other => common::fixture("tokenizers").join(format!("{other}.json")),
    }
}

fn load(tokenizer: &str, reading: Reading) -> Tokenizer {
    Tokenizer::load(&TokenizerFiles::Whole(file(tokenizer)), reading).unwrap()
}

fn only_window(encoding: Encoding) -> Tokens {
    let [window] = <[Tokens; 1]>::try_from(encoding.windows).unwrap();
    window
}

#[test]
fn ids_are_pythons() {
    let tokenizer = load("default", READING);
    let mut cut = 0;
    for row in rows::<Row>("token-ids.json") {
        let encoding = tokenizer.tokenize(&row.text.as_str().into()).unwrap();
        // None of them has exactly as many tokens as there may be.
        assert_eq!(encoding.truncated, row.ids.len() == 512, "{:?}", row.text);
        cut += usize::from(encoding.truncated);
        assert_eq!(only_window(encoding).ids, row.ids, "{:?}", row.text);
    }
    assert_eq!(cut, 2);
}

#[test]
fn long_texts_are_cut_and_still_end_with_the_separator() {
    let tokenizer = load("default", Reading { max_tokens: 8, ..READING });
    let encoding = tokenizer.tokenize(&"good ".repeat(50).into()).unwrap();
    assert!(encoding.truncated);
    assert_eq!(only_window(encoding).ids, [101, 2204, 2204, 2204, 2204, 2204, 2204, 102]);
    assert_eq!(tokenizer.most_tokens(), 8);
}

#[test]
fn a_text_that_just_fits_is_read_whole_in_every_way() {
    for long_texts in [LongTexts::Cut, LongTexts::Windows, LongTexts::Refuse] {
        let tokenizer = load("default", Reading { max_tokens: 8, long_texts, ..READING });
        let encoding = tokenizer.tokenize(&"good ".repeat(6).into()).unwrap();
        assert!(!encoding.truncated);
        assert_eq!(only_window(encoding).ids.len(), 8);
    }
}

#[test]
fn windows_hold_all_of_a_text_each_with_its_special_tokens() {
    let text = "love hate it I ".repeat(10);
    let inner = |tokens: &Tokens| tokens.ids[1..tokens.ids.len() - 1].to_vec();
    let whole = only_window(load("words", READING).tokenize(&text.as_str().into()).unwrap());
    let tokenizer = load("words", Reading { max_tokens: 18, long_texts: LongTexts::Windows, ..READING });
    let Encoding { windows, truncated } = tokenizer.tokenize(&text.as_str().into()).unwrap();
    assert!(!truncated);
    assert_eq!(windows.iter().map(|window| window.ids.len()).collect::<Vec<_>>(), [15, 15, 16]);
    for Tokens { ids, type_ids } in &windows {
        assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
        assert_eq!(type_ids.as_ref().unwrap(), &[&[2], &vec![1; ids.len() - 2][..], &[3]].concat());
    }
    assert_eq!(windows.iter().flat_map(inner).collect::<Vec<_>>(), inner(&whole));
}

#[test]
fn a_long_text_is_refused_with_both_numbers_where_that_is_asked_for() {
    let tokenizer = load("default", Reading { max_tokens: 8, long_texts: LongTexts::Refuse, ..READING });
    let refused = tokenizer.tokenize(&"good ".repeat(7).into());
    assert_eq!(refused, Err(TokenizeError::TooLong { tokens: 9, most: 8 }));
    // The warm-up's text may be longer than what is read.
    assert_eq!(tokenizer.start_of(&"good ".repeat(7)).unwrap().ids.len(), 8);
}

#[test]
fn a_tokenizer_that_leaves_no_room_for_a_text_is_refused() {
    let error = Tokenizer::load(&TokenizerFiles::Whole(file("words")), Reading { max_tokens: 2, ..READING })
        .err()
        .unwrap()
        .to_string();
    assert!(error.ends_with("it puts 2 special tokens around a text, and 2 are read in all"), "{error}");
}

#[test]
fn names_of_special_tokens_are_read_as_transformers_reads_them() {
    let rows = rows::<Named>("special-tokens.json");
    // Special tokens of each, but for the unknown one.
    let tokenizers: [(&str, &[u32]); 4] =
        [("default", &[0, 101, 102, 103]), ("added", &[0, 2, 3, 4]), ("words", &[0, 2, 3]), ("unigram", &[0, 1, 2])];
    for (name, special) in tokenizers {
        let [matching, splitting] =
            [false, true].map(|split_special_tokens| load(name, Reading { split_special_tokens, ..READING }));
        let is_steered = |ids: &[u32]| ids[1..ids.len() - 1].iter().any(|id| special.contains(id));
        for Named { text, matched, split, .. } in rows.iter().filter(|row| row.tokenizer == name) {
            let ids = |tokenizer: &Tokenizer| only_window(tokenizer.tokenize(&text.as_str().into()).unwrap()).ids;
            assert_eq!(ids(&matching), *matched, "{name} {text:?}");
            let found = ids(&splitting);
            // Python's model finds some names in its own vocabulary. Here they are text all the same.
            if is_steered(split) {
                assert!(!is_steered(&found) && found.len() >= split.len(), "{name} {text:?} is {found:?}");
            } else {
                assert_eq!(found, *split, "{name} {text:?}");
            }
        }
    }
}

#[test]
fn a_name_that_the_model_itself_would_find_is_spelled_out() {
    let unigram = load("unigram", READING);
    // `<`, `/`, `s` and `>`, with the space that the tokenizer puts before each part of the name.
    let ids = only_window(unigram.tokenize(&"love </s> hate".into()).unwrap()).ids;
    assert_eq!(ids[..2], [0, 5]);
    assert!(ids.ends_with(&[6, 2]) && [8, 14].iter().any(|id| ids.contains(id)) && ids.contains(&11), "{ids:?}");
    let words = load("words", READING);
    assert_eq!(only_window(words.tokenize(&"love [SEP] hate".into()).unwrap()).ids, [2, 4, 1, 1, 5, 3]);
    // The unknown stands for much that a text may hold.
    assert_eq!(only_window(words.tokenize(&"love lamps [UNK]".into()).unwrap()).ids, [2, 4, 1, 1, 3]);
}

/// Also where a tokenizer's files are those from before there was a `tokenizer.json`.
#[test]
fn ids_of_every_family_are_pythons() {
    let families = common::fixture("families");
    let texts: Vec<String> = serde_json::from_str(&fs::read_to_string(families.join("texts.json")).unwrap()).unwrap();
    let mut tokenizers = 0;
    for folder in fs::read_dir(&families).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let ids: Vec<Vec<u32>> = serde_json::from_str(&fs::read_to_string(folder.join("ids.json")).unwrap()).unwrap();
        for place in [folder.clone(), folder.join("old")].into_iter().filter(|place| place.is_dir()) {
            let files = TokenizerFiles::find(&place).unwrap();
            let reading = Reading { split_special_tokens: false, ..READING };
            let tokenizer = Tokenizer::load(&files, reading).unwrap();
            for (text, ids) in texts.iter().zip(&ids) {
                let encoding = tokenizer.tokenize(&text.as_str().into()).unwrap();
                assert_eq!(only_window(encoding).ids, *ids, "{}: {text}", place.display());
            }
            tokenizers += 1;
        }
    }
    assert_eq!((tokenizers, texts.len()), (16, 28));
}

#[test]
fn pairs_of_every_family_have_the_tokens_of_their_kind_between_them() {
    for (family, between) in
        [("bert", "[SEP]"), ("roberta", "</s></s>"), ("albert", "[SEP]"), ("xlm-roberta", "</s></s>")]
    {
        let files = TokenizerFiles::find(&common::fixture("families").join(family)).unwrap();
        let tokenizer = Tokenizer::load(&files, READING).unwrap();
        let tokens = |ids: &[u32]| ids.iter().filter_map(|id| tokenizer.token(*id)).collect::<Vec<_>>().concat();
        let input = Input { text: "good".into(), pair: Some("bad".into()) };
        let pair = tokens(&only_window(tokenizer.tokenize(&input).unwrap()).ids);
        assert!(pair.contains(between), "{family}: {pair}");
    }
}
