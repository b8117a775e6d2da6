//! What the pages show of a terminal, on the real server: each command is run, and what it prints has the form, the labels
//! and nearly the scores that the page shows. It needs curl and Python's packages, so it runs by `make contract`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Folder, Server};
use serde_json::Value;

const PAGES: [&str; 4] = ["README.md", "docs/start.md", "docs/server.md", "docs/models.md"];
/// What a server of the default model and a clone have, among the programs of the pages.
const RUN: [&str; 3] = ["curl", "python3", "sentiment-server"];
/// Fields that are different each time.
const CHANGING: [&str; 7] =
    ["cached", "created", "created_at", "estimated_completion_seconds", "id", "job_id", "prediction_id"];
/// How far a score may be from the page's: other CPUs round otherwise.
const NEAR: f64 = 0.02;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command of a page and what the page shows of its answer: nothing in a block of bash.
struct Shown {
    command: String,
    answer: String,
}

fn shown(page: &str) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        match language {
            "console" => shown.extend(typed(&block.collect::<Vec<_>>())),
            "bash" => shown.extend(block.map(|line| Shown { command: line.trim().to_owned(), answer: String::new() })),
            _ => block.for_each(drop),
        }
    }
    shown.retain(|shown| RUN.iter().any(|program| shown.command.starts_with(&format!("{program} "))));
    shown
}

fn typed(block: &[&str]) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let is_whole = |command: &str| !command.ends_with('\\') && command.matches('\'').count().is_multiple_of(2);
    for line in block {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push(Shown { command: command.to_owned(), answer: String::new() }),
            (None, Some(last)) if !is_whole(&last.command) => last.command.push_str(&format!("\n{line}")),
            (None, Some(last)) => last.answer.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    shown
}

/// Why what was printed isn't what the page shows.
fn difference(expected: &Value, found: &Value, path: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            if !expected.keys().eq(found.keys()) {
                return Some(format!("{path} has {:?}, not {:?}", found.keys(), expected.keys()));
            }
            let mut fields =
                expected.iter().filter(|(name, _)| !CHANGING.contains(&name.as_str()) && !name.ends_with("_ms"));
            fields.find_map(|(name, expected)| difference(expected, &found[name], &format!("{path}.{name}")))
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(index, (expected, found))| difference(expected, found, &format!("{path}[{index}]")))
        }
        (Value::Number(expected), Value::Number(found)) => {
            let is_near = (expected.as_f64()? - found.as_f64()?).abs() <= NEAR;
            (!is_near).then(|| format!("{path} is {found}, not {expected}"))
        }
        (expected, found) => (expected != found).then(|| format!("{path} is {found}, not {expected}")),
    }
}

/// A text that is no JSON, as words and numbers.
fn parts(text: &str) -> Value {
    let words = text.split(|c: char| c.is_whitespace() || "=()[],'".contains(c)).filter(|word| !word.is_empty());
    words.map(|word| serde_json::from_str::<f64>(word).map_or_else(|_| word.into(), Value::from)).collect()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| parts(text))
}

#[test]
fn terminals_look_as_the_pages_show_them() {
    let server = Server::start(&[]);
    let folder = Folder::new("documented");
    symlink(root().join("models"), folder.file("models")).unwrap();
    symlink(common::default_model(), folder.file("reviews")).unwrap();
    fs::write(folder.file("reviews.txt"), fs::read_to_string(common::fixture("sentences.txt")).unwrap()).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_sentiment-server")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());

    let (mut wrong, mut compared) = (Vec::new(), 0);
    for page in PAGES {
        for Shown { command, answer } in shown(&fs::read_to_string(root().join(page)).unwrap()) {
            let mut shell = Command::new("bash");
            shell.args(["-euo", "pipefail", "-c", &command.replace("localhost:8000", &server.address)]);
            shell.env("PATH", &path).env("ORT_DYLIB_PATH", common::library());
            // As the image has it.
            shell.env("MLOPS_ONNX_MODEL_PATH", common::default_model());
            shell.env("PYTHONPATH", root().join(".cache/contract")).current_dir(&folder.0);
            let output = shell.output().unwrap();
            let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
            assert!(output.status.success(), "{page}: {command}\n{said}{errors}");
            println!("$ {command}\n{said}");
            if answer.is_empty() {
                continue;
            }
            compared += 1;
            if let Some(difference) = difference(&read(&answer), &read(&said), "") {
                wrong.push(format!("{page}: {command}: {difference}"));
            }
        }
    }
    assert!(compared > 10, "only {compared} answers were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
