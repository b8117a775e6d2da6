//! The playground in a real browser, by `tests/browser/playground.py`. Browser and packages are fetched first, so this
//! runs by `make browser` and not with the other tests.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{fs, net::TcpListener, path::Path, process::Command};

use common::{Folder, Server, fixture};
use serde_json::json;

/// A port that is free now. Two services that name each other can't both have the kernel choose.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A folder with the tiny model of three labels, as one of another problem.
fn tiny(problem: &str) -> Folder {
    let folder = Folder::new(problem);
    for file in ["tokenizer.json", "model.onnx"] {
        fs::copy(fixture("three-labels").join(file), folder.file(file)).unwrap();
    }
    let labels = json!({ "0": "bad", "1": "fine", "2": "good" });
    let config = json!({ "id2label": labels, "max_position_embeddings": 64, "problem_type": problem });
    fs::write(folder.file("config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn the_playground_does_what_it_says_in_a_real_browser() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let packages = root.join(".cache/browser");
    assert!(packages.is_dir(), "there are no packages in {}: run `make browser`", packages.display());

    let port = free_port();
    let origin = format!("http://127.0.0.1:{port}");
    let model = fixture("three-labels");
    let model = ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap());
    let other = Server::start(&[model, ("MLOPS_API_KEY", "0ther"), ("MLOPS_ALLOWED_ORIGINS", &origin)]);
    let keyed = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    let origins = format!("http://{},http://{}", other.address, keyed.address);
    let staging = Server::start(&[("MLOPS_DROP_LABELS", "NEUTRAL")]);
    let plain = Server::start(&[("MLOPS_PORT", &port), ("MLOPS_PLAYGROUND_ORIGINS", &origins)]);
    let several = tiny("multi_label_classification");
    let number = tiny("regression");
    // Above what a word that isn't there makes of a label.
    let threshold = ("MLOPS_THRESHOLD", "0.6");
    let serving = |folder: &Folder| Server::start(&[(model.0, folder.0.to_str().unwrap()), threshold]);
    let (several, number) = (serving(&several), serving(&number));

    let services = [
        ("plain", &plain),
        ("keyed", &keyed),
        ("other", &other),
        ("staging", &staging),
        ("several", &several),
        ("number", &number),
    ];
    let services: serde_json::Map<_, _> =
        services.into_iter().map(|(name, server)| (name.to_owned(), json!(server.address))).collect();
    let status = Command::new("python3")
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/playground.py"))
        .arg(json!(services).to_string())
        .current_dir(root)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
