//! The server against programs that others wrote: schemathesis, a client of version 1, those of Triton, `KServe` and
//! the Hub, and Python's tokenizers and ONNX Runtime. They are fetched first, so these tests run by `make contract` and not with the others.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Server, json};
use engine::Tokenize;
use model::{LongTexts, Reading, Tokenizer, TokenizerFiles};
use serde::Deserialize;
use serde_json::json;

const KEY: &str = "s3cret";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn program(name: &str) -> String {
    format!("{}/tests/contract/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Python with the packages that `make contract` fetches.
fn python() -> Command {
    python_with("contract")
}

fn python_with(folder: &str) -> Command {
    let packages = root().join(".cache").join(folder);
    assert!(packages.is_dir(), "there are no packages in {}: run `make contract`", packages.display());
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.into_owned()
}

/// Prepares the model in a folder, and returns what was said.
fn prepare(folder: &Path, code: i32) -> String {
    let packages = [root().join("models/prepare"), root().join(".cache/contract")];
    let packages = packages.map(|path| path.display().to_string()).join(":");
    let mut command = python();
    command.env("PYTHONPATH", packages).args(["-m", "prepare_model", "--no-figures"]).arg(folder);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn schemathesis_finds_no_failure_in_the_whole_document() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let folder = common::Folder::new("schemathesis");
    let report = run(python()
        // Where it keeps its notes.
        .current_dir(&folder.0)
        .args(["-m", "schemathesis.cli", "--config-file", &program("schemathesis.toml"), "--no-color"])
        .args(["run", &server.url("/openapi.json"), "--generation-database", "none"])
        .args(["--max-examples", "30", "--header", &format!("X-API-Key: {KEY}")]));
    println!("{report}");
    assert!(report.contains("No issues found"), "{report}");
    assert_eq!(server.agent.get(server.url("/ready")).call().unwrap().status(), 200);
}

#[test]
fn a_client_of_version_1_runs_unchanged() {
    // Its default for the length, and the labels that it knows.
    let server =
        Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_MAX_TEXT_LENGTH", "512"), ("MLOPS_DROP_LABELS", "NEUTRAL")]);
    let address = format!("http://{}", server.address);
    println!(
        "{}",
        run(python().args([
            &program("version1_client.py"),
            &address,
            KEY,
            "predict",
            "errors",
            "health",
            "batch",
            "insight"
        ]))
    );
}

#[test]
fn nvidias_client_runs_with_its_defaults() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    println!("{}", run(python().args([&program("triton_client.py"), &server.address, KEY])));
}

#[test]
fn the_hubs_client_classifies_texts() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let url = format!("http://{}", server.address);
    println!("{}", run(python().args([&program("hub_client.py"), &url, KEY])));
}

#[test]
fn tritons_client_is_served_over_grpc() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    println!("{}", run(python().args([&program("triton_grpc_client.py"), &server.grpc_address, KEY, "default"])));
}

#[test]
fn kserves_client_is_served_by_all_three_protocols() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let program = program("kserve_client.py");
    println!("{}", run(python_with("kserve").args([&program, &server.address, &server.grpc_address, KEY])));
}

/// Tokenizers as transformers writes them, over sentences of a book.
#[test]
fn ids_of_every_family_are_those_of_pythons_tokenizers() {
    let sentences = common::fixture("sentences.txt");
    let texts = fs::read_to_string(&sentences).unwrap();
    let mut families = 0;
    for folder in fs::read_dir(common::fixture("families")).unwrap().map(|entry| entry.unwrap().path()) {
        let file = folder.join("tokenizer.json");
        if !file.is_file() {
            continue;
        }
        let expected = run(python().arg(program("ids.py")).arg(&file).arg(&sentences));
        let reading = Reading { max_tokens: 4096, long_texts: LongTexts::Cut, split_special_tokens: false };
        let tokenizer = Tokenizer::load(&TokenizerFiles::Whole(file.clone()), reading).unwrap();
        for (text, expected) in texts.lines().zip(expected.lines()) {
            let expected: Vec<u32> = serde_json::from_str(expected).unwrap();
            assert_eq!(
                tokenizer.tokenize(&text.into()).unwrap().windows[0].ids,
                expected,
                "{}: {text}",
                file.display()
            );
        }
        families += 1;
    }
    assert_eq!(families, 12);
}

#[derive(Debug, Deserialize)]
struct Scored {
    label: String,
    score: f64,
}

/// What Python's ONNX Runtime makes of each sentence.
fn reference(model: &Path) -> Vec<Scored> {
    let sentences = common::fixture("sentences.txt");
    let lines = run(python().arg(program("scores.py")).arg(model).arg(sentences));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the server makes of each sentence: one by one, and all in one request.
fn served(model: &Path) -> [Vec<Scored>; 2] {
    let model = model.to_str().unwrap();
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", model), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    let sentences = fs::read_to_string(common::fixture("sentences.txt")).unwrap();
    let one_by_one = sentences.lines().map(|sentence| serde_json::from_value(server.predict(sentence)).unwrap());
    let one_by_one = one_by_one.collect();
    let texts: Vec<_> = sentences.lines().collect();
    let mut batch = server.post("/predict/batch", &json!({ "texts": texts }).to_string());
    assert_eq!(batch.status(), 200);
    let together = serde_json::from_value(json(&mut batch)["results"].take()).unwrap();
    [one_by_one, together]
}

#[test]
fn scores_are_pythons_in_float32_and_nearly_so_in_int8() {
    let quantized = common::default_model();
    let expected = reference(&quantized);
    assert_eq!(expected.len(), 500);
    let [one_by_one, together] = served(&quantized);
    // Each text is quantized as Python's ONNX Runtime does it, but a difference in rounding may become a step in a score.
    for (way, found) in [("alone", &one_by_one), ("in batches", &together)] {
        let pairs = || expected.iter().zip(found);
        let same = pairs().filter(|(python, ours)| python.label == ours.label).count();
        let mean = pairs().map(|(python, ours)| (python.score - ours.score).abs()).sum::<f64>() / 500.0;
        println!("int8 {way}: {same} of 500 labels are Python's, scores differ by {mean:.5} on average");
        assert!(same >= 495 && mean < 0.01, "int8 {way}: {same} labels are Python's, scores differ by {mean}");
    }

    let folder = common::Folder::new("float-model");
    run(python().arg(program("float_model.py")).arg(&quantized).arg(&folder.0));
    prepare(&folder.0, 0);
    let expected = reference(&folder.0);
    let without_padding = served(&folder.0);
    fs::remove_file(folder.file("model.onnx.varlen")).unwrap();
    let padded = served(&folder.0);
    for served in without_padding.into_iter().chain(padded) {
        assert_equal("float32", &expected, &served);
    }
}

fn assert_equal(model: &str, expected: &[Scored], served: &[Scored]) {
    assert_eq!(served.len(), expected.len());
    for (number, (expected, found)) in expected.iter().zip(served).enumerate() {
        let equal = expected.label == found.label && (expected.score - found.score).abs() <= 1e-5;
        assert!(equal, "{model}, sentence {number}: {expected:?}, not {found:?}");
    }
}

#[test]
fn a_model_that_the_preparation_does_not_understand_is_served_as_it_is() {
    let folder = common::Folder::new("not-understood");
    for file in ["model.onnx", "config.json", "tokenizer.json"] {
        fs::copy(common::fixture("three-labels").join(file), folder.file(file)).unwrap();
    }
    let said = prepare(&folder.0, 3);
    assert!(said.contains("batches of it will be padded: there is no attention\n"), "{said}");
    let server = Server::listening(&[("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())]);
    assert_eq!(server.line("ready")["padding"], true);
}

#[test]
fn weights_that_the_preparation_does_not_know_are_served_without_padding_all_the_same() {
    let folder = common::Folder::new("unsigned-weights");
    run(python().arg(program("unsigned_weights.py")).arg(common::default_model()).arg(&folder.0));
    let said = prepare(&folder.0, 0);
    assert!(said.contains("texts of a batch will be quantized together: the MatMulInteger that makes "), "{said}");
    assert!(said.contains(" has other weights than int8 around 0\n"), "{said}");
    let server = Server::listening(&[("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())]);
    assert_eq!(server.line("ready")["padding"], false);
    let texts = json!({ "texts": ["I love this product", "It broke after a week", "Great, I would buy it again"] });
    let mut answer = server.post("/predict/batch", &texts.to_string());
    let results = json(&mut answer)["results"].take();
    let labels: Vec<&str> =
        results.as_array().unwrap().iter().map(|result| result["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["POSITIVE", "NEGATIVE", "POSITIVE"]);
}
