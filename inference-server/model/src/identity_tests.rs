use std::fs::{self, File};

use super::*;
use crate::LongTexts;

const READING: Reading = Reading { max_tokens: 64, long_texts: LongTexts::Cut, split_special_tokens: true };

/// A model's folder, gone when dropped.
struct Folder(PathBuf);

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value.as_bytes())].concat()
}

/// An ONNX file of one tensor, whose numbers are in a file beside it.
fn graph(location: &str) -> Vec<u8> {
    field(7, &field(5, &field(13, &entry("location", location))))
}

/// One that says of which file it was made.
fn made_of(location: &str, model: &[u8]) -> Vec<u8> {
    let mut hexadecimal = String::new();
    push_hex(&mut hexadecimal, ring::digest::digest(&SHA256, model).as_ref());
    [graph(location), field(14, &entry("made_of_sha256", &hexadecimal))].concat()
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kubesentiment-identity-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("weights")).unwrap();
        let folder = Self(path);
        folder.write("config.json", b"{}");
        folder.write("tokenizer.json", b"words");
        folder.write("model.onnx", &graph("weights/of it"));
        folder.write("weights/of it", b"weights");
        folder
    }

    /// Puts a file in the place of the one that is there.
    fn write(&self, name: &str, content: &[u8]) {
        let new = self.0.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.0.join(name)).unwrap();
    }

    fn sources(&self) -> Sources {
        Sources::open(ModelDirectory::open(&self.0).unwrap()).unwrap()
    }

    fn identity_with(&self, reading: Reading) -> Identity {
        self.sources().provenance(reading, None).identify().unwrap()
    }

    fn identity(&self) -> Identity {
        self.identity_with(READING)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn whatever_changes_an_answer_changes_the_identity() {
    let folder = Folder::new("changes");
    let first = folder.identity();
    let hexadecimal = first.model.to_string();
    assert!(hexadecimal.starts_with("sha256:") && hexadecimal.len() == 71, "{hexadecimal}");
    assert_eq!(folder.identity(), first);
    let mut seen = vec![first.outputs];
    for reading in [
        Reading { max_tokens: 65, ..READING },
        Reading { long_texts: LongTexts::Windows, ..READING },
        Reading { split_special_tokens: false, ..READING },
    ] {
        let identity = folder.identity_with(reading);
        assert_eq!(identity.model, first.model, "it is the same model");
        seen.push(identity.outputs);
    }
    for classes in [&[0][..], &[1], &[0, 1]] {
        let dropping = || folder.sources().provenance(READING, None).without(classes.iter().copied());
        let identity = dropping().identify().unwrap();
        assert_eq!((identity.model, dropping().identify().unwrap()), (first.model, identity));
        seen.push(identity.outputs);
    }
    let mut models = vec![first.model];
    folder.write("model.onnx.varlen", &made_of("weights/of it", b"another"));
    assert_eq!(folder.identity(), first, "what is not run changes nothing");
    folder.write("model.onnx.varlen", &made_of("weights/of it", &graph("weights/of it")));
    assert_eq!(folder.sources().graph(), folder.0.join("model.onnx.varlen"));
    models.push(folder.identity().model);
    fs::remove_file(folder.0.join("model.onnx.varlen")).unwrap();
    for (file, content) in [
        ("weights/of it", &b"others"[..]),
        ("tokenizer.json", b"other words"),
        ("config.json", b"{\"id2label\":{}}"),
        ("model.onnx", &graph("weights/of another")),
        ("weights/of another", b"changed"),
    ] {
        folder.write("weights/of another", b"others");
        folder.write(file, content);
        let identity = folder.identity();
        models.push(identity.model);
        seen.push(identity.outputs);
    }
    for all in [models, seen] {
        let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    let before = folder.identity();
    folder.write("README.md", b"no part of it");
    folder.write("model.onnx.old", b"nor this");
    assert_eq!(folder.identity(), before);
}

#[test]
fn the_identity_is_of_what_was_loaded_and_not_of_what_came_after() {
    let folder = Folder::new("after");
    let identity = folder.identity();
    let sources = folder.sources();
    assert!(sources.are_current());
    for file in ["tokenizer.json", "model.onnx", "weights/of it"] {
        folder.write(file, b"");
    }
    assert!(!sources.are_current());
    let loaded = sources.provenance(READING, None);
    assert_eq!(loaded.identify().unwrap(), identity);
    assert_ne!(folder.identity(), identity);
}

#[test]
fn any_file_that_changes_meanwhile_is_seen() {
    for file in ["config.json", "tokenizer.json", "model.onnx", "weights/of it", "model.onnx.varlen"] {
        let folder = Folder::new("meanwhile");
        let sources = folder.sources();
        folder.write("README.md", b"no part of it");
        assert!(sources.are_current());
        folder.write(file, b"{ }");
        assert!(!sources.are_current(), "{file}");
    }
    let folder = Folder::new("gone");
    folder.write("model.onnx.varlen", &graph("weights/of it"));
    let sources = folder.sources();
    assert!(sources.are_current());
    fs::remove_file(folder.0.join("model.onnx.varlen")).unwrap();
    assert!(!sources.are_current());
}

#[test]
fn a_file_that_was_written_into_has_no_known_identity() {
    for file in ["config.json", "tokenizer.json", "model.onnx", "weights/of it"] {
        let folder = Folder::new("written");
        let sources = folder.sources();
        let loaded = sources.provenance(READING, None);
        File::options().append(true).open(folder.0.join(file)).unwrap().set_len(100).unwrap();
        let error = loaded.identify().unwrap_err().to_string();
        let path = folder.0.join(file);
        let expected = format!("{} was written into after the model was loaded", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn weights_that_cannot_be_found_are_named() {
    let folder = Folder::new("missing");
    let error = |folder: &Folder| {
        let sources = folder.sources();
        sources.provenance(READING, None).identify().unwrap_err().to_string()
    };
    fs::remove_file(folder.0.join("weights/of it")).unwrap();
    let missing = error(&folder);
    assert!(missing.contains("weights/of it can't be read for its hash"), "{missing}");
    folder.write("model.onnx", b"no graph");
    let broken = error(&folder);
    assert!(broken.contains("model.onnx can't be read for its hash: it is "), "{broken}");
}

#[test]
fn files_that_change_while_they_are_read_are_read_again() {
    let folder = Folder::new("again");
    let mut reads = 0;
    let (sources, text) = Sources::read(&folder.0, |sources| {
        reads += 1;
        let text = fs::read_to_string(sources.directory().tokenizer.main()).unwrap();
        match reads {
            1 => folder.write("tokenizer.json", b"other words"),
            // As a copy does that has not come to this file yet.
            2 => {
                folder.write("model.onnx", &graph("weights/of it"));
                return Err(ModelError::WarmUp("not all is there".to_owned()));
            }
            _ => {}
        }
        Ok(text)
    })
    .unwrap();
    assert_eq!((reads, text.as_str()), (3, "other words"));
    assert!(sources.are_current());

    let mut reads = 0;
    let unsettled = Sources::read(&folder.0, |_| {
        reads += 1;
        folder.write("config.json", b"{}");
        Ok(())
    });
    let error = unsettled.err().unwrap().to_string();
    assert!(error.contains("change while they are read"), "{error}");
    assert_eq!(reads, MOST_TRIES);

    // An error of files that stay as they are is final.
    let failed = Sources::read(&folder.0, |_| Err::<(), _>(ModelError::WarmUp("broken".to_owned())));
    assert_eq!(failed.err().unwrap().to_string(), "the model's first inference failed: broken");
}

#[test]
fn the_digest_of_a_directory_is_the_loaded_models() {
    let folder = Folder::new("digest");
    let digest = digest_of(&folder.0).unwrap();
    assert_eq!(digest, folder.identity().model);
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for text in ["", "sha256:", &digest.to_string()[7..], &format!("{digest}0"), &digest.to_string().replace(':', "+")]
    {
        assert_eq!(text.parse::<Digest>(), Err(NoDigest((*text).to_owned())));
    }
    assert!(format!("sha256:{}", "+1".repeat(32)).parse::<Digest>().is_err());
}

#[test]
fn pointers_of_git_lfs_are_called_so() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for file in ["config.json", "model.onnx", "weights/of it"] {
        let folder = Folder::new("pointer");
        folder.write(file, pointer);
        let error = digest_of(&folder.0).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("git lfs pull"), "{error}");
    }
}
