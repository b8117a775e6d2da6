//! The table of specs that a real API server is shown to refuse, in `e2e`: what it says of each, lint says too.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

#[path = "../../e2e/tests/api_server/refused.rs"]
mod refused;

use std::{ffi::OsStr, fs, path::Path};

use kubectl_sentiment::{
    input::{API_VERSION, Document, KIND, documents},
    lint::Linter,
    schema,
    settings::Settings,
};
use kubesentiment_operator::api;
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

/// The schema of a page's fragment: `spec:` alone, or some fields of a spec. Its rules are of whole services.
fn schema_of(fragment: &Value, spec: &Value) -> Option<Value> {
    let mut fields = fragment.as_object().filter(|fields| !fields.is_empty())?.keys();
    if fragment.as_object()?.keys().eq(["spec"]) {
        return Some(json!({"type": "object", "properties": {"spec": spec}}));
    }
    fields.all(|name| spec["properties"].get(name).is_some()).then(|| spec.clone())
}

/// The samples and the examples in the pages, which a real API server is shown to accept; and parts of some.
#[test]
fn what_the_api_server_accepts_lint_accepts() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let crd = serde_json::to_value(api::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let (linter, mut services, mut parts) = (linter(), 0, 0);
    for folder in ["config/samples", ".", "docs", "docs/adr", "charts/kubesentiment-operator", "models/prepare"] {
        for entry in fs::read_dir(repository.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let blocks: Vec<String> = match path.extension().and_then(OsStr::to_str) {
                Some("yaml") if folder == "config/samples" => vec![fs::read_to_string(&path).unwrap()],
                Some("md") => blocks(&fs::read_to_string(&path).unwrap()),
                _ => continue,
            };
            for found in blocks.iter().flat_map(|block| documents(&path.display().to_string(), block)) {
                services += usize::from(found.is_service());
                assert_eq!(linter.check(&found), []);
                let part = found.object.as_ref().unwrap();
                if let Some(schema) = schema_of(part, spec) {
                    parts += 1;
                    assert_eq!(schema::faults(&schema, part, ""), [], "{}: {part}", found.place());
                }
            }
        }
    }
    assert!(services > 30 && parts > 20, "only {services} services and {parts} parts of some were found");
}

/// The blocks of YAML of a page, without the indentation of the list that one stands in.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("```yaml").filter(|indent| indent.trim().is_empty()) else { continue };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(block.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect());
    }
    blocks
}
