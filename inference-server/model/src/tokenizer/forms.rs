//! Forms of a `tokenizer.json` that the tokenizers library no longer reads, as others that say the same.

use serde_json::{Map, Value, json};

/// What the library calls the normalizer that writes a character where words begin.
const WORD_STARTS: &str = "MetaspaceNormalizer";

/// Characters that the library takes for punctuation.
const PUNCTUATION: &str = r"\p{P}$+<=>^`|~";

/// Rewrites a file's content in place. An error is one sentence about the file.
pub(super) fn rewrite(file: &mut Value) -> Result<(), String> {
    let root = file.as_object_mut().ok_or("it is JSON, but no object")?;
    flatten_pre_tokenizers(root);
    split_punctuation_before_words(root)?;
    put_a_space_first(root)
}

fn kind(component: &Value) -> Option<&str> {
    component.get("type").and_then(Value::as_str)
}

/// The members of a sequence, those of sequences within it included; else the component itself.
fn members(component: Value) -> Vec<Value> {
    if kind(&component) != Some("Sequence") {
        return if component.is_null() { Vec::new() } else { vec![component] };
    }
    let Some(Value::Array(members_of_it)) = component.get("pretokenizers").cloned() else { return Vec::new() };
    members_of_it.into_iter().flat_map(members).collect()
}

/// A sequence of one is that one; `DeBERTa` writes its `Metaspace` so.
fn flatten_pre_tokenizers(root: &mut Map<String, Value>) {
    let Some(component) = root.remove("pre_tokenizer") else { return };
    let mut members = members(component);
    let flat = match members.len() {
        0 => Value::Null,
        1 => members.remove(0),
        _ => json!({ "type": "Sequence", "pretokenizers": members }),
    };
    root.insert("pre_tokenizer".to_owned(), flat);
}

/// `Punctuation` before `Metaspace`, as `DeBERTa` has it with `split_by_punct`: each character of punctuation, and each
/// word behind one, begins as a word does.
fn split_punctuation_before_words(root: &mut Map<String, Value>) -> Result<(), String> {
    let pre_tokenizer = root.get("pre_tokenizer").unwrap_or(&Value::Null);
    let members = pre_tokenizer.get("pretokenizers").and_then(Value::as_array).map(Vec::as_slice);
    let Some([first, second]) = members else { return Ok(()) };
    if kind(first) != Some("Punctuation") || kind(second) != Some("Metaspace") {
        return Ok(());
    }
    let isolates = first.get("behavior").is_none_or(|behavior| behavior == "Isolated");
    let begins_each = second.get("prepend_scheme").is_none_or(|scheme| scheme.is_null() || scheme == "always");
    if !isolates || !begins_each {
        return Err(
            "its Punctuation before a Metaspace is read only with behavior Isolated and prepend_scheme always".into()
        );
    }
    let start = second.get("replacement").and_then(Value::as_str).unwrap_or("\u{2581}").to_owned();
    let pattern = format!("(?=[{PUNCTUATION}])|(?<=[{PUNCTUATION}])(?=[^{PUNCTUATION} {start}])");
    let second = second.clone();
    push_normalizer(root, json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": start }));
    root.insert("pre_tokenizer".to_owned(), second);
    Ok(())
}

/// `add_prefix_space`: a text that doesn't begin with a space is read as if it did.
fn put_a_space_first(root: &mut Map<String, Value>) -> Result<(), String> {
    let pre_tokenizer = root.get_mut("pre_tokenizer");
    let asks = |component: &Value| {
        kind(component) == Some("ByteLevel") && component.get("add_prefix_space") == Some(&Value::Bool(true))
    };
    let Some(component) = pre_tokenizer else { return Ok(()) };
    if asks(component) {
        component["add_prefix_space"] = false.into();
        if root.get("normalizer").is_none_or(Value::is_null) {
            // Nothing but this changes a text, and added tokens are looked for before it.
            keep_added_tokens_as_written(root);
        }
        // With a space for the character of word starts, this writes the one at the text's own.
        push_normalizer(
            root,
            json!({ "type": WORD_STARTS, "replacement": " ", "prepend": "always", "drop_whitespace": false }),
        );
        return Ok(());
    }
    let members = component.get("pretokenizers").and_then(Value::as_array);
    if members.is_some_and(|members| members.iter().any(asks)) {
        return Err(
            "its ByteLevel has add_prefix_space behind other pre-tokenizers, which isn't served; set it to false"
                .into(),
        );
    }
    Ok(())
}

/// Adds a normalizer behind those that are there.
fn push_normalizer(root: &mut Map<String, Value>, normalizer: Value) {
    let mut chain = match root.remove("normalizer") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(mut sequence)) if sequence.get("type").is_some_and(|kind| kind == "Sequence") => {
            match sequence.remove("normalizers") {
                Some(Value::Array(members)) => members,
                _ => Vec::new(),
            }
        }
        Some(other) => vec![other],
    };
    chain.push(normalizer);
    root.insert("normalizer".to_owned(), json!({ "type": "Sequence", "normalizers": chain }));
}

/// The library looks for an added token as the normalizers write it, and what was put among them is none of the file's.
fn keep_added_tokens_as_written(root: &mut Map<String, Value>) {
    let tokens = root.get_mut("added_tokens").and_then(Value::as_array_mut);
    for token in tokens.into_iter().flatten() {
        token["normalized"] = false.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(mut file: Value) -> Value {
        rewrite(&mut file).unwrap();
        file
    }

    #[test]
    fn a_sequence_of_one_is_that_one() {
        let metaspace = json!({ "type": "Metaspace", "replacement": "\u{2581}" });
        let sequence = |members: Vec<Value>| json!({ "type": "Sequence", "pretokenizers": members });
        let file = |component: Value| rewritten(json!({ "pre_tokenizer": component }))["pre_tokenizer"].take();
        assert_eq!(file(sequence(vec![metaspace.clone()])), metaspace);
        assert_eq!(file(sequence(vec![sequence(vec![metaspace.clone()])])), metaspace);
        assert_eq!(file(sequence(vec![])), Value::Null);
        let digits = json!({ "type": "Digits" });
        assert_eq!(
            file(sequence(vec![sequence(vec![digits.clone()]), metaspace.clone()])),
            sequence(vec![digits, metaspace])
        );
        assert_eq!(file(Value::Null), Value::Null);
    }

    #[test]
    fn normalizers_are_kept_and_the_new_one_comes_last() {
        let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": true, "use_regex": true });
        for (normalizer, kinds) in [
            (Value::Null, vec![WORD_STARTS]),
            (json!({ "type": "NFC" }), vec!["NFC", WORD_STARTS]),
            (
                json!({ "type": "Sequence", "normalizers": [{ "type": "NFC" }, { "type": "Lowercase" }] }),
                vec!["NFC", "Lowercase", WORD_STARTS],
            ),
        ] {
            let file = rewritten(json!({ "normalizer": normalizer, "pre_tokenizer": byte_level }));
            let chain = file["normalizer"]["normalizers"].as_array().unwrap();
            assert_eq!(chain.iter().filter_map(kind).collect::<Vec<_>>(), kinds);
            assert_eq!(file["pre_tokenizer"]["add_prefix_space"], false);
        }
    }

    #[test]
    fn what_has_no_other_form_is_refused_by_a_sentence() {
        let refused = |members: Value| {
            let mut file = json!({ "pre_tokenizer": { "type": "Sequence", "pretokenizers": members } });
            rewrite(&mut file).unwrap_err()
        };
        let prefixed = json!({ "type": "ByteLevel", "add_prefix_space": true });
        assert!(refused(json!([{ "type": "Digits" }, prefixed])).contains("add_prefix_space"));
        let removed = json!({ "type": "Punctuation", "behavior": "Removed" });
        assert!(refused(json!([removed, { "type": "Metaspace" }])).contains("Isolated"));
        assert!(rewrite(&mut json!([])).is_err());
    }
}
