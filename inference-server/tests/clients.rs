//! The programs of docs/clients.md as they stand there, against the real server. They need curl, jq, Node.js, Go and
//! Python's packages, so they run by `make contract`, and the one that takes Go's modules by `make test-all`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Folder, Server};

const PAGE: &str = include_str!("../../docs/clients.md");
const KEY: &str = "s3cret";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The one block of this language below a heading of the page.
fn block(heading: &str, language: &str) -> String {
    let section = PAGE.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no {heading}")).1;
    // One sign alone is a comment of Python.
    let section = section.split("\n##").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    let mut blocks = section.split(&fence).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("{heading} has no {language}"));
    assert_eq!(blocks.next(), None, "{heading} has several blocks of {language}");
    block.split_once("```").unwrap().0.to_owned()
}

/// Writes a block into a folder of its own.
fn saved(heading: &str, language: &str, file: &str) -> Folder {
    let folder = Folder::new(&format!("client-{}", heading.trim_start_matches("# ").replace(' ', "-")));
    fs::write(folder.file(file), block(heading, language)).unwrap();
    folder
}

/// A command with the packages of Python that `make contract` fetches.
fn command(program: &str) -> Command {
    let packages = root().join(".cache/contract");
    assert!(packages.is_dir(), "there are no packages in {}: run `make contract`", packages.display());
    let mut command = Command::new(program);
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    // As the test node's programs are built, so that the standard library is compiled once for both.
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").env("GOFLAGS", "-trimpath");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}\n{said}\n{errors}");
    said
}

/// A client gets its answers from a server that asks for a key and lets it in once a second: it has to wait for the
/// second answer for as long as it is told.
fn answers(client: &mut Command) {
    let limits = r#"[{"name": "default", "requestsPerSecond": 1}]"#;
    let server = Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_API_KEY_LIMITS", limits)]);
    client.env("SENTIMENT_URL", format!("http://{}", server.address)).env("SENTIMENT_ADDRESS", &server.grpc_address);
    let said = run(client.env("SENTIMENT_API_KEY", KEY));
    let answers: Vec<(&str, f64)> =
        said.lines().map(|line| line.split_once(' ').unwrap()).map(|(l, s)| (l, s.parse().unwrap())).collect();
    let labels: Vec<&str> = answers.iter().map(|(label, _)| *label).collect();
    assert_eq!(labels, ["POSITIVE", "NEGATIVE", "POSITIVE"], "{said}");
    assert!(answers.iter().all(|(_, score)| (0.5..=1.0).contains(score)), "{said}");
    let refused: u64 = server.series(r#"sentiment_api_key_limited_total{key="default",reason="rate"}"#).unwrap();
    assert!(refused > 0, "it was never told to wait");
    client.env("SENTIMENT_API_KEY", "wrong");
    assert!(!client.output().unwrap().status.success(), "it takes a refusal for an answer");
}

#[test]
fn curl() {
    let folder = saved("## curl", "bash", "predict.sh");
    answers(command("bash").args(["-euo", "pipefail"]).arg(folder.file("predict.sh")));
}

#[test]
fn python() {
    let folder = saved("## Python", "python", "predict.py");
    answers(command("python3").arg(folder.file("predict.py")));
}

#[test]
fn javascript() {
    let folder = saved("## JavaScript", "javascript", "predict.mjs");
    answers(command("node").arg(folder.file("predict.mjs")));
}

#[test]
fn go() {
    let folder = saved("## Go", "go", "main.go");
    assert_eq!(run(command("gofmt").arg("-d").arg(&folder.0)), "");
    answers(command("go").arg("run").arg(folder.file("main.go")));
}

#[test]
fn rust() {
    let example = include_str!("../examples/client.rs");
    assert_eq!(block("## Rust", "rust"), example, "examples/client.rs is another program than the page's");
    let program = Path::new(env!("CARGO_BIN_EXE_sentiment-server")).with_file_name("examples/client");
    assert!(program.is_file(), "there is no {}: run `make contract`", program.display());
    answers(&mut Command::new(program));
}

/// Makes the code of the protocol in a folder that looks like a clone, by the page's own command.
fn generate(heading: &str, folder: &Folder, path: &str) {
    symlink(root().join("inference-server"), folder.file("inference-server")).unwrap();
    let block = block(heading, "bash");
    run(command("bash").args(["-euc", &block]).current_dir(&folder.0).env("PATH", path));
}

#[test]
fn python_over_grpc() {
    let heading = "### Python over gRPC";
    let folder = saved(heading, "python", "predict.py");
    generate(heading, &folder, &std::env::var("PATH").unwrap());
    answers(command("python3").arg(folder.file("predict.py")));
}

#[test]
fn go_over_grpc() {
    let heading = "### Go over gRPC";
    let folder = saved(heading, "go", "main.go");
    for file in ["go.mod", "go.sum"] {
        fs::copy(root().join("inference-server/tests/clients").join(file), folder.file(file)).unwrap();
    }
    assert_eq!(run(command("gofmt").arg("-d").arg(folder.file("main.go"))), "");
    let plugins = ["google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"];
    run(command("go").args(["build", "-o", "bin/"]).args(plugins).current_dir(&folder.0));
    generate(heading, &folder, &format!("{}:{}", folder.file("bin").display(), std::env::var("PATH").unwrap()));
    answers(command("go").args(["run", "."]).current_dir(&folder.0));
}
