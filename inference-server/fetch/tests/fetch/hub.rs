//! A hub that speaks as its documentation says.

use std::{
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::common::{Answer, Folder, Request, Run, Server, fetch, model, noise, onnx, onnx_with_weights_in, sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The answer about a repository: large files are in LFS, small ones in Git.
fn info(files: &[(String, Vec<u8>)]) -> Answer {
    let siblings: Vec<String> = files
        .iter()
        .map(|(name, content)| {
            let (size, blob) = (content.len(), git_blob(content));
            let mut sibling = format!(r#"{{"rfilename":"{name}","size":{size},"blobId":"{blob}""#);
            if name.contains(".onnx") {
                let sha256 = sha256(content);
                let _ = write!(sibling, r#","lfs":{{"sha256":"{sha256}","size":{size},"pointerSize":134}}"#);
            }
            sibling + "}"
        })
        .collect();
    let json = format!(r#"{{"id":"me/model","sha":"{COMMIT}","siblings":[{}]}}"#, siblings.join(","));
    Answer::ok(json).with("Content-Type", "application/json")
}

/// SHA-1 by Git's own rule.
fn git_blob(content: &[u8]) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(format!("blob {}\0", content.len()).as_bytes());
    hash.update(content);
    hash.finish().as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A hub of one repository, whose large files are in another store.
struct Hub {
    hub: Server,
    store: Server,
}

impl Hub {
    fn start(files: Vec<(String, Vec<u8>)>) -> Self {
        let kept = files.clone();
        let store = Server::start(move |request| {
            let found = kept.iter().find(|(name, _)| request.plain_path().strip_prefix("/blobs/") == Some(name));
            found.map_or_else(|| Answer::status(404), |(_, content)| Answer::file(content, "\"e\"", request))
        });
        let redirect = store.url_by_name("/blobs/");
        let hub = Server::start(move |request| {
            let path = request.plain_path();
            if path.starts_with("/api/models/me/model/revision/") {
                return info(&files);
            }
            let Some(name) = path.strip_prefix(&format!("/me/model/resolve/{COMMIT}/")) else {
                return Answer::status(404);
            };
            let Some((_, content)) = files.iter().find(|(file, _)| file == name) else { return Answer::status(404) };
            if name.contains(".onnx") {
                Answer::redirect(&format!("{redirect}{name}?X-Amz-Signature=s3cret"))
            } else {
                Answer::file(content, "\"g\"", request)
            }
        });
        Self { hub, store }
    }

    fn run(&self, folder: &Folder, with: &[&str]) -> Run {
        let endpoint = self.hub.url("");
        let mut arguments: Vec<&str> = with.to_vec();
        arguments.extend(["huggingface", "me/model", "--endpoint", &endpoint]);
        Run::new(folder, &arguments)
    }
}

#[test]
fn only_what_a_server_needs_is_fetched_and_the_token_stays_at_the_hub() {
    let folder = Folder::new("hub");
    let files = model(&[
        (".gitattributes", b"*.onnx".to_vec()),
        ("README.md", b"# model".to_vec()),
        ("model.safetensors", noise(1000)),
        ("vocab.txt", b"a".to_vec()),
        ("onnx/model.onnx", onnx_with_weights_in("weights/part.bin")),
        ("onnx/weights/part.bin", noise(3000)),
        ("onnx/model_fp16.onnx", onnx(500)),
        ("onnx/model_int8.onnx", onnx(600)),
    ]);
    let hub = Hub::start(files);
    let outcome = hub.run(&folder, &["--variant", "fp32"]).env("HF_TOKEN", "hf_s3cret").run().assert_ok();
    let expected = ["config.json", "onnx/model.onnx", "onnx/weights/part.bin", "tokenizer.json", "vocab.txt"];
    assert_eq!(folder.listed(), expected);
    assert!(outcome.log.contains(COMMIT), "{}", outcome.log);
    assert!(!outcome.log.contains("s3cret"), "{}", outcome.log);
    for request in hub.hub.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer hf_s3cret"), "{request:?}");
    }
    assert!(!hub.store.requests().is_empty());
    for request in hub.store.requests() {
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
    assert_eq!(hub.hub.requests()[0].path, "/api/models/me/model/revision/main?blobs=true");
    let note = std::fs::read_to_string(folder.model().join(".model-fetch.json")).unwrap();
    assert!(note.contains(&format!("me/model@{COMMIT}")), "{note}");
}

#[test]
fn variants_are_chosen_as_the_server_would() {
    let files = model(&[
        ("onnx/model.onnx", onnx(100)),
        ("onnx/model_fp16.onnx", onnx(200)),
        ("onnx/model_quantized.onnx", onnx(300)),
        ("onnx/model_q4.onnx", onnx(400)),
    ]);
    let hub = Hub::start(files);
    for (variant, expected) in [
        ("", "model_quantized"),
        ("fp16", "model_fp16"),
        ("int8", "model_quantized"),
        ("onnx/model_q4.onnx", "model_q4"),
    ] {
        let folder = Folder::new("variant");
        let with: &[&str] = if variant.is_empty() { &[] } else { &["--variant", variant] };
        hub.run(&folder, with).run().assert_ok();
        assert_eq!(folder.listed(), ["config.json", &format!("onnx/{expected}.onnx"), "tokenizer.json"]);
    }
    let folder = Folder::new("variant");
    let outcome = hub.run(&folder, &["--variant", "bf16"]).run();
    outcome.assert_failed(&["me/model has no ONNX file for the variant bf16; there is onnx/model.onnx, "]);
}

#[test]
fn a_variant_in_a_folder_of_its_own_is_put_where_the_server_looks() {
    let files = model(&[
        ("onnx/model.onnx", onnx(100)),
        ("onnx/int8/model.onnx", onnx_with_weights_in("model.bin")),
        ("onnx/int8/model.bin", noise(50)),
    ]);
    let hub = Hub::start(files);
    for variant in ["int8", "onnx/int8/model.onnx"] {
        let folder = Folder::new("deep");
        hub.run(&folder, &["--variant", variant]).run().assert_ok();
        assert_eq!(folder.listed(), ["config.json", "model.bin", "model.onnx", "tokenizer.json"]);
    }
}

#[test]
fn a_repository_without_onnx_says_how_to_export() {
    let folder = Folder::new("no-onnx");
    let hub = Hub::start(model(&[("model.safetensors", noise(100))]));
    let outcome = hub.run(&folder, &[]).run();
    outcome.assert_failed(&["me/model holds no ONNX file", "optimum-cli export onnx"]);
}

#[test]
fn digests_of_git_and_lfs_are_checked() {
    for (changed, words) in [("config.json", "git:"), ("model.onnx", "sha256:")] {
        let folder = Folder::new("changed");
        let files = model(&[("model.onnx", onnx(1000))]);
        let server = Server::start(move |request| match request.plain_path().rsplit_once('/').unwrap().1 {
            "main" => info(&files),
            name => {
                let mut content = files.iter().find(|(file, _)| file == name).unwrap().1.clone();
                if name == changed {
                    *content.last_mut().unwrap() ^= 1;
                }
                Answer::ok(content)
            }
        });
        let endpoint = server.url("");
        let outcome = fetch(&folder, &["huggingface", "me/model", "--endpoint", &endpoint]);
        outcome.assert_failed(&[changed, "has the digest", words]);
        assert!(!folder.model().exists());
    }
}

#[test]
fn sizes_are_checked_before_anything_is_read() {
    let folder = Folder::new("size");
    let files = model(&[("model.onnx", onnx(1000))]);
    let server = Server::start(move |request| match request.plain_path().rsplit_once('/').unwrap().1 {
        "main" => info(&files),
        "model.onnx" => Answer::ok(onnx(2000)),
        name => Answer::ok(files.iter().find(|(file, _)| file == name).unwrap().1.clone()),
    });
    let outcome = fetch(&folder, &["huggingface", "me/model", "--endpoint", &server.url("")]);
    outcome.assert_failed(&["model.onnx has 2003 bytes", "should have 1003"]);
}

#[test]
fn a_cut_from_the_store_is_gone_on_with() {
    let folder = Folder::new("hub-cut");
    let content = onnx(3 << 20);
    let files = model(&[("model.onnx", content.clone())]);
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.plain_path().rsplit_once('/').unwrap().1 {
        "main" => info(&files),
        // Without a tag: the digest is known.
        "model.onnx" if tries.fetch_add(1, Relaxed) == 0 => Answer::file(&content, "", request).cut_at(1 << 20),
        name => Answer::file(&files.iter().find(|(file, _)| file == name).unwrap().1, "", request),
    });
    fetch(&folder, &["huggingface", "me/model", "--endpoint", &server.url("")]).assert_ok();
    let asked = server.asked(&format!("/me/model/resolve/{COMMIT}/model.onnx"));
    assert_eq!(asked.iter().map(Request::from).collect::<Vec<_>>(), [0, 1 << 20]);
}

#[test]
fn refusals_name_the_token_and_the_revision() {
    for (answer, words) in [
        (Answer::status(401).with("X-Error-Code", "RepoNotFound"), ["(401)", "huggingFace.tokenSecretRef"]),
        (Answer::status(401).with("X-Error-Code", "GatedRepo"), ["(403)", "its terms are accepted"]),
        (Answer::status(404).with("X-Error-Code", "RevisionNotFound"), ["has no me/model at v9 (404)", ".revision"]),
        (Answer::status(429), ["asked too often", "HF_TOKEN"]),
    ] {
        let folder = Folder::new("hub-refused");
        let server = Server::start(move |_| answer.clone());
        let endpoint = server.url("");
        let with = ["--attempts", "1", "huggingface", "me/model", "--revision", "v9", "--endpoint", &endpoint];
        fetch(&folder, &with).assert_failed(&words);
    }
}

#[test]
fn a_repository_cant_write_elsewhere() {
    let folder = Folder::new("hub-traversal");
    let files = model(&[("model.onnx", onnx(10)), ("../../evil.json", b"{}".to_vec())]);
    let server = Server::start(move |_| info(&files));
    let outcome = fetch(&folder, &["huggingface", "me/model", "--endpoint", &server.url("")]);
    outcome.assert_failed(&["../../evil.json", "leads out of the folder"]);
    for name in ["../model", "me/model/x", "a b", ".."] {
        let outcome = fetch(&folder, &["huggingface", name, "--endpoint", &server.url("")]);
        outcome.assert_failed(&["is no name of a repository; write OWNER/NAME"]);
    }
}

#[test]
fn an_lfs_pointer_is_called_one() {
    let folder = Folder::new("hub-pointer");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n".to_vec();
    let hub = Hub::start(model(&[("model.onnx", pointer)]));
    hub.run(&folder, &[]).run().assert_failed(&["model.onnx of me/model", "is a Git LFS pointer", "git lfs pull"]);
}

#[test]
fn names_that_need_escapes_are_escaped() {
    let folder = Folder::new("hub-names");
    let hub = Hub::start(model(&[("model.onnx", onnx(10))]));
    let endpoint = hub.hub.url("");
    let with = ["huggingface", "me/model", "--revision", "refs/pr/1", "--endpoint", &endpoint];
    fetch(&folder, &with).assert_ok();
    assert_eq!(hub.hub.requests()[0].plain_path(), "/api/models/me/model/revision/refs%2Fpr%2F1");
}
