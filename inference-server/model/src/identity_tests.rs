use std::fs::{self, File};

use super::*;
use crate::LongTexts;

const READING: Reading = Reading { max_tokens: 64, long_texts: LongTexts::Cut, split_special_tokens: true };

/// A model's folder, gone when dropped.
struct Folder(PathBuf);

/// An ONNX file of one tensor, whose numbers are in a file beside it.
fn graph(location: &str) -> Vec<u8> {
    let field =
        |number: u8, content: &[u8]| [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat();
    let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
    field(7, &field(5, &field(13, &entry)))
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

    fn identity_with(&self, graph: &str, reading: Reading) -> Identity {
        self.sources().provenance(&self.0.join(graph), reading).identify().unwrap()
    }

    fn identity(&self) -> Identity {
        self.identity_with("model.onnx", READING)
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
        let identity = folder.identity_with("model.onnx", reading);
        assert_eq!(identity.model, first.model, "it is the same model");
        seen.push(identity.outputs);
    }
    let mut models = vec![first.model];
    folder.write("model.onnx.varlen", &graph("weights/of it"));
    assert_eq!(folder.identity_with("model.onnx.varlen", READING), first, "the same graph by another name");
    folder.write("model.onnx.varlen", &[graph("weights/of it"), vec![5 << 3, 1]].concat());
    assert_eq!(folder.identity(), first, "what is not run changes nothing");
    models.push(folder.identity_with("model.onnx.varlen", READING).model);
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
    let loaded = sources.provenance(&folder.0.join("model.onnx"), READING);
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
        let loaded = sources.provenance(&folder.0.join("model.onnx"), READING);
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
        sources.provenance(&folder.0.join("model.onnx"), READING).identify().unwrap_err().to_string()
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
    let (sources, text) = Sources::read(&folder.0, |directory| {
        reads += 1;
        let text = fs::read_to_string(directory.tokenizer_file()).unwrap();
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
