//! What two servers must have in common to share answers.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};

use crate::{config::LongTexts, digest, digest::push_hex, model::Labels};

/// A model and the settings that change what it answers.
#[derive(Clone)]
pub(super) struct Identity {
    /// Half of a SHA-256 in hexadecimal; equal for equal answers.
    pub(super) fingerprint: String,
    /// What it can answer.
    pub(super) labels: Labels,
}

/// What a model is made of.
#[derive(Clone)]
pub struct Parts {
    /// The ONNX file.
    pub model_file: PathBuf,
    /// The tokenizer.
    pub tokenizer_file: PathBuf,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Its labels and their neutral band.
    pub labels: Labels,
    /// What is done with a text of more tokens.
    pub long_texts: LongTexts,
    /// Whether names of special tokens are read as text.
    pub split_special_tokens: bool,
}

impl Parts {
    /// Reads the files, which takes a second for each gigabyte or so.
    pub(super) fn identify(self) -> io::Result<Identity> {
        let mut hash = Context::new(&SHA256);
        for file in [&self.model_file, &self.tokenizer_file].into_iter().chain(&beside(&self.model_file)?) {
            let contents = digest::of_file(file)?;
            hash.update(contents.as_ref());
        }
        // Lengths before contents, so that no two lists are written alike.
        let numbers = [
            self.max_tokens as u64,
            u64::from(self.labels.neutral_band().to_bits()),
            self.long_texts as u64,
            u64::from(self.split_special_tokens),
        ];
        for number in numbers {
            hash.update(&number.to_le_bytes());
        }
        for name in self.labels.names() {
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
        }
        let mut fingerprint = String::new();
        push_hex(&mut fingerprint, &hash.finish().as_ref()[..16]);
        Ok(Identity { fingerprint, labels: self.labels })
    }
}

/// Files beside an ONNX file that may hold its weights, in name order: those whose names begin with
/// its own, as exporters call them (`model.onnx_data`, `model.onnx.data`).
fn beside(model_file: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (model_file.parent(), model_file.file_name()) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let begins = entry.as_encoded_bytes().starts_with(name.as_encoded_bytes());
        let file = folder.join(&entry);
        if begins && entry != name && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("kubesentiment-identity-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("model.onnx"), "weights").unwrap();
            fs::write(path.join("tokenizer.json"), "words").unwrap();
            Self(path)
        }

        fn parts(&self, names: &[&str], band: f32, max_tokens: usize) -> Parts {
            Parts {
                model_file: self.0.join("model.onnx"),
                tokenizer_file: self.0.join("tokenizer.json"),
                max_tokens,
                labels: Labels::new(names.iter().map(|name| (*name).to_owned()).collect(), band),
                long_texts: LongTexts::Cut,
                split_special_tokens: true,
            }
        }

        fn fingerprint(&self) -> String {
            self.parts(&["a", "b"], 0.0, 64).identify().unwrap().fingerprint
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn whatever_changes_an_answer_changes_the_fingerprint() {
        let folder = Folder::new();
        let mut seen = vec![folder.fingerprint()];
        assert_eq!(seen[0].len(), 32);
        assert_eq!(folder.fingerprint(), seen[0]);
        for parts in [
            folder.parts(&["b", "a"], 0.0, 64),
            folder.parts(&["ab", ""], 0.0, 64),
            folder.parts(&["a"], 0.0, 64),
            folder.parts(&["a", "b"], 0.5, 64),
            folder.parts(&["a", "b"], 0.0, 65),
            Parts { long_texts: LongTexts::Windows, ..folder.parts(&["a", "b"], 0.0, 64) },
            Parts { split_special_tokens: false, ..folder.parts(&["a", "b"], 0.0, 64) },
        ] {
            seen.push(parts.identify().unwrap().fingerprint);
        }
        for (file, content) in [
            ("model.onnx", "other"),
            ("tokenizer.json", "others"),
            ("model.onnx_data", "more"),
            ("model.onnx_data", ""),
        ] {
            fs::write(folder.0.join(file), content).unwrap();
            seen.push(folder.fingerprint());
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);

        let before = folder.fingerprint();
        fs::write(folder.0.join("README.md"), "no part of it").unwrap();
        assert_eq!(folder.fingerprint(), before);
        fs::remove_file(folder.0.join("tokenizer.json")).unwrap();
        assert!(folder.parts(&["a"], 0.0, 1).identify().is_err());
    }
}
