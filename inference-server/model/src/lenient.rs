//! Files as people have them: with a byte order mark, with what Python writes for numbers that JSON doesn't have, or with
//! Git LFS' pointer where the file itself should be.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::ModelError;

/// How each pointer of Git LFS begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What Python's `json` writes for numbers that JSON doesn't have.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Refuses a pointer of Git LFS. Another file that can't be read is no matter of this.
pub(super) fn not_a_pointer(file: &Path) -> Result<(), ModelError> {
    let is_pointer = || -> io::Result<bool> {
        let mut start = Vec::with_capacity(POINTER.len());
        File::open(file)?.take(POINTER.len() as u64).read_to_end(&mut start)?;
        Ok(start == POINTER)
    };
    if is_pointer().unwrap_or(false) { Err(ModelError::Pointer(file.to_owned())) } else { Ok(()) }
}

/// Without the mark that editors on Windows put before a text.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// JSON of what Python's `json` writes: null for each `NaN` and `Infinity` outside of strings.
pub(super) fn json_of_python(text: &str) -> Cow<'_, str> {
    let text = without_mark(text);
    if !NO_NUMBERS.iter().any(|word| text.contains(word)) {
        return text.into();
    }
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if next == '"' {
            let length = string(rest);
            json.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if let Some(word) = NO_NUMBERS.iter().find(|word| rest.starts_with(**word)) {
            json.push_str("null");
            rest = &rest[word.len()..];
        } else {
            json.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    json.into()
}

/// Bytes of the string that a text begins with, its quotes included.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_numbers_are_null_outside_of_strings() {
        for (python, json) in [
            (r#"{"a": [NaN, -Infinity, Infinity]}"#, r#"{"a": [null, null, null]}"#),
            (r#"{"NaN": "Infinity \" NaN", "b": NaN}"#, r#"{"NaN": "Infinity \" NaN", "b": null}"#),
            ("\u{feff}{\"a\": 1}", r#"{"a": 1}"#),
            (r#"{"a": "NaN"#, r#"{"a": "NaN"#),
        ] {
            assert_eq!(json_of_python(python), json);
        }
    }

    #[test]
    fn a_pointer_is_known_by_its_start() {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("kubesentiment-pointer-{}", std::process::id()));
        for (content, is_pointer) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", true),
            ("version https", false),
            ("", false),
        ] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(not_a_pointer(&file).is_err(), is_pointer, "{content}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(not_a_pointer(&file).is_ok());
    }
}
