//! Token ids equal those of Python's tokenizers library.

mod common;

use inference_server::{engine::Tokenize, model::Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

#[test]
fn ids_are_pythons() {
    let rows = std::fs::read_to_string(common::fixture("token-ids.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_str(&rows).unwrap();
    assert!(rows.len() > 30);
    let tokenizer = Tokenizer::load(&common::default_model().join("tokenizer.json"), 512).unwrap();
    for row in rows {
        assert_eq!(tokenizer.tokenize(&row.text).unwrap().windows[0].ids, row.ids, "{:?}", row.text);
    }
}

#[test]
fn long_texts_are_cut_and_still_end_with_the_separator() {
    let tokenizer = Tokenizer::load(&common::default_model().join("tokenizer.json"), 8).unwrap();
    let ids = tokenizer.tokenize(&"good ".repeat(50)).unwrap().windows.remove(0).ids;
    assert_eq!(ids, [101, 2204, 2204, 2204, 2204, 2204, 2204, 102]);
}
