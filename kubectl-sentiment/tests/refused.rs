//! The table of specs that a real API server is shown to refuse, in `e2e`: what it says of each, lint says too.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

#[path = "../../e2e/tests/api_server/refused.rs"]
mod refused;

use std::{ffi::OsStr, fs, path::Path};

use kubectl_sentiment::{
    input::{API_VERSION, Document, KIND, documents},
    lint::Linter,
    settings::Settings,
};
use serde_json::{Value, json};

fn linter() -> Linter {
    Linter::new(Settings::default()).unwrap()
}

fn document(spec: &Value) -> Document {
    let object = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bad"}, "spec": spec});
    documents("-", &object.to_string()).remove(0)
}

#[test]
fn what_the_api_server_refuses_lint_refuses_in_the_same_words() {
    let linter = linter();
    let mut wrong = Vec::new();
    for (spec, sentence) in refused::cases() {
        let said: Vec<String> = linter.check(&document(&spec)).iter().map(ToString::to_string).collect();
        if !said.iter().any(|said| said.contains(sentence)) {
            wrong.push(format!("{spec}: {said:?}, not {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The samples and the examples in the pages, which a real API server is shown to accept.
#[test]
fn what_the_api_server_accepts_lint_accepts() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (linter, mut services) = (linter(), 0);
    for folder in ["config/samples", ".", "docs"] {
        for entry in fs::read_dir(repository.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let blocks: Vec<String> = match path.extension().and_then(OsStr::to_str) {
                Some("yaml") => vec![fs::read_to_string(&path).unwrap()],
                Some("md") => {
                    let text = fs::read_to_string(&path).unwrap();
                    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
                    blocks.filter(|block| block.contains(KIND)).map(str::to_owned).collect()
                }
                _ => continue,
            };
            for document in blocks.iter().flat_map(|block| documents(&path.display().to_string(), block)) {
                services += usize::from(document.is_service());
                assert_eq!(linter.check(&document), []);
            }
        }
    }
    assert!(services > 30, "only {services} were found");
}
