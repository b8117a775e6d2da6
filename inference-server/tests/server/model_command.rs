//! `sentiment-server model`, as people call it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

use serde_json::Value;

use crate::common::{self, Folder, default_model, fixture};

/// What a command prints, or its error.
fn model(arguments: &[&str]) -> Result<String, String> {
    let output = common::command(&[]).arg("model").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn a_model_is_described_for_people_and_programs() {
    let path = fixture("three-labels");
    let path = path.to_str().unwrap();
    let found: Value = serde_json::from_str(&model(&["inspect", path, "-o", "json"]).unwrap()).unwrap();
    for (name, expected) in [
        ("family", r#""bert""#),
        ("file", r#""model.onnx""#),
        ("tokenizer", r#""tokenizer.json""#),
        ("inputs", r#"["attention_mask (int64)","input_ids (int64)"]"#),
        ("output", r#""logits""#),
        ("problem", r#""single_label_classification""#),
        ("activation", r#""softmax""#),
        ("labels", r#"["bad","fine","good"]"#),
        ("precision", r#""fp32""#),
        ("max_tokens", "512"),
        ("unpadded_batches", "false"),
    ] {
        assert_eq!(found[name].to_string(), expected, "{name}: {found}");
    }
    assert_eq!(found["digest"], model(&["digest", path]).unwrap().trim());

    let text = model(&["inspect", default_model().to_str().unwrap()]).unwrap();
    for line in ["precision   int8", "batches     without padding", "labels      3 (NEGATIVE, NEUTRAL, POSITIVE)"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let error = model(&["inspect", "/nowhere"]).unwrap_err();
    assert!(error.starts_with("model path /nowhere can't be read: ") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_few_texts_are_answered() {
    let path = fixture("three-labels");
    let answers = model(&["test", path.to_str().unwrap(), "it is good", "bad"]).unwrap();
    let lines: Vec<&str> = answers.lines().collect();
    assert!(lines[0].starts_with("good 0.99") && lines[0].ends_with("it is good"), "{answers}");
    assert!(lines[1].starts_with("bad 0.99"), "{answers}");
    let own = model(&["test", default_model().to_str().unwrap()]).unwrap();
    assert_eq!(own.lines().count(), 4, "{own}");
    let error = model(&["test", path.to_str().unwrap(), "good poison"]).unwrap_err();
    assert!(error.starts_with("\"good poison\" has no answer: "), "{error}");
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let content = fs::read(layout.join("blobs/sha256").join(&descriptor["digest"].as_str().unwrap()[7..])).unwrap();
    assert_eq!(descriptor["size"], content.len());
    content
}

#[test]
fn the_same_files_make_the_same_image_with_all_that_is_read() {
    let folder = Folder::new("packed");
    let source = folder.file("model");
    fs::create_dir_all(source.join("onnx")).unwrap();
    for (from, to) in
        [("config.json", "config.json"), ("tokenizer.json", "tokenizer.json"), ("model.onnx", "onnx/model.onnx")]
    {
        fs::copy(fixture("three-labels").join(from), source.join(to)).unwrap();
    }
    fs::write(source.join("LICENSE"), "as you like").unwrap();
    fs::write(source.join("pytorch_model.bin"), "large").unwrap();
    let source = source.to_str().unwrap();
    let [one, other] = ["one", "other"].map(|name| {
        let layout = folder.file(name);
        let said = model(&["pack", source, layout.to_str().unwrap()]).unwrap();
        assert!(said.contains(model(&["digest", source]).unwrap().trim()), "{said}");
        // Later, and by other times of the files.
        for file in ["config.json", "onnx/model.onnx"] {
            File::open(Path::new(source).join(file)).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        layout
    });
    assert_eq!(fs::read(one.join("index.json")).unwrap(), fs::read(other.join("index.json")).unwrap());

    let json = |content: Vec<u8>| serde_json::from_slice::<Value>(&content).unwrap();
    let index = json(fs::read(one.join("index.json")).unwrap());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "model");
    let images = json(blob(&one, &index["manifests"][0]));
    let mut layers = Vec::new();
    for image in images["manifests"].as_array().unwrap() {
        let manifest = json(blob(&one, image));
        let config = json(blob(&one, &manifest["config"]));
        assert_eq!(config["architecture"], image["platform"]["architecture"]);
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        layers.push(manifest["layers"][0].clone());
    }
    assert!(layers.len() == 2 && layers[0] == layers[1], "both architectures share the layer: {layers:?}");
    let layer = blob(&one, &layers[0]);
    let mut archive = tar::Archive::new(layer.as_slice());
    let mut packed = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        packed.insert(entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), content));
    }
    assert_eq!(
        packed.keys().collect::<Vec<_>>(),
        ["LICENSE", "config.json", "onnx/", "onnx/model.onnx", "tokenizer.json"]
    );
    assert!(packed["onnx/model.onnx"] == (0o644, fs::read(fixture("three-labels/model.onnx")).unwrap()));
    assert_eq!(packed["onnx/"].0, 0o755);

    let error = model(&["pack", source, one.to_str().unwrap()]).unwrap_err();
    assert!(error.starts_with(&format!("{}: File exists", one.display())), "{error}");
}
