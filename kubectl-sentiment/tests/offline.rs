//! The program itself, in commands that need no cluster: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program with this standard input, far from any cluster.
fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-sentiment"));
    command.args(arguments).env_clear().env("KUBECONFIG", "/nonexistent").env("CLICOLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const GOOD: &str =
    "apiVersion: kubesentiment.io/v1alpha1\nkind: SentimentService\nmetadata: {name: reviews}\nspec: {}\n";
const BAD: &str =
    "apiVersion: kubesentiment.io/v1alpha1\nkind: SentimentService\nmetadata: {name: reviews}\nspec: {replicas: -1}\n";

#[test]
fn lint_tells_by_its_exit_code() {
    let good = run_with(&["lint", "-"], GOOD);
    assert_eq!((good.code, &*good.out, &*good.err), (0, "", "1 SentimentService: no finding\n"));
    let bad = run_with(&["lint", "-"], &format!("{GOOD}---\n{BAD}"));
    let expected =
        "-:2: spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0\n";
    assert_eq!((bad.code, &*bad.out, &*bad.err), (1, expected, "2 SentimentServices: 1 finding\n"));
    let missing = run(&["lint", "nowhere.yaml"]);
    assert_eq!((missing.code, &*missing.out), (2, ""));
    assert!(missing.err.starts_with("error: nowhere.yaml: "), "{}", missing.err);
    assert_eq!(run_with(&["lint", "-"], "a: [").code, 1, "what is no YAML would be refused");
}

#[test]
fn lint_has_a_form_for_programs() {
    let ran = run_with(&["lint", "-o", "json", "-"], BAD);
    let result: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &result["services"], &result["findings"][0]["path"]),
        (1, &1.into(), &"spec.replicas".into())
    );
}

#[test]
fn lint_searches_folders() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lint");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("deep/bad.yml"), BAD).unwrap();
    fs::write(folder.join("template.yaml"), "{{ if .Values.a }}\n").unwrap();
    fs::write(folder.join("notes.txt"), BAD).unwrap();
    let ran = run(&["lint", folder.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 1), "{}", ran.out);
    assert!(ran.out.contains("deep/bad.yml:1: spec.replicas"), "{}", ran.out);
    let named = run(&["lint", folder.join("template.yaml").to_str().unwrap()]);
    assert_eq!(named.code, 1, "a file that was named isn't passed over");
}

#[test]
fn all_samples_pass() {
    let ran = run(&["lint", repository().join("config/samples").to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.out), (0, ""));
    assert!(ran.err.starts_with("17 SentimentServices") || ran.err.starts_with("18 SentimentServices"), "{}", ran.err);
}

#[test]
fn all_samples_render() {
    for entry in fs::read_dir(repository().join("config/samples")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("kustomization.yaml") {
            continue;
        }
        let ran = run(&["render", "-f", path.to_str().unwrap(), "-o", "json"]);
        assert_eq!((ran.code, &*ran.err), (0, ""), "{}", path.display());
        let list: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(list["items"].as_array().unwrap().iter().any(|object| object["kind"] == "Deployment"));
    }
}

#[test]
fn render_takes_the_standard_input_and_a_namespace() {
    let ran = run_with(&["render", "-f", "-", "-n", "demo", "--default-image", "registry.example.com/s:1"], GOOD);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert!(ran.out.contains("namespace: demo") && ran.out.contains("image: registry.example.com/s:1"), "{}", ran.out);
    assert!(!ran.out.contains("ownerReferences"), "an object without its owner would be taken away");
    let bad = run_with(&["render", "-f", "-"], BAD);
    assert_eq!((bad.code, &*bad.out), (2, ""));
    assert!(bad.err.starts_with("error: -:1: spec.replicas: "), "{}", bad.err);
    let none = run_with(&["render", "-f", "-"], "kind: ConfigMap\n");
    assert!(none.code == 2 && none.err.contains("holds no SentimentService"), "{}", none.err);
}

#[test]
fn convert_tells_what_is_left_and_its_result_passes_lint() {
    let kept = "apiVersion: mlops.seldon.io/v1alpha1\nkind: Model\nmetadata: {name: reviews}\nspec: {storageUri: 'gs://models/b'}\n";
    let done = run_with(&["convert", "-f", "-"], kept);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.starts_with("-:1: by hand: the model has to be an ONNX file"), "{}", done.err);
    assert_eq!(run_with(&["lint", "-"], &done.out).code, 0, "{}", done.out);
    let more = format!("kind: ConfigMap\n---\n{}", kept.replace("'}", "', llm: {}}"));
    let lossy = run_with(&["convert", "-f", "-", "-o", "json"], &more);
    assert_eq!(lossy.code, 1, "{}", lossy.err);
    assert!(
        lossy.err.contains("-:1: passed over: ConfigMap") && lossy.err.contains("-:2: left out: spec.llm: "),
        "{}",
        lossy.err
    );
    let list: Value = serde_json::from_str(&lossy.out).unwrap();
    assert_eq!(list["items"][0]["kind"], "SentimentService");
    let none = run_with(&["convert", "-f", "-"], GOOD);
    assert!(
        none.code == 2 && none.out.is_empty() && none.err.contains("error: - holds no InferenceService"),
        "{}",
        none.err
    );
}

#[test]
fn where_nobody_looks_there_are_no_colours() {
    for arguments in [&["status", "reviews"][..], &["lint", "nowhere"], &["--help"], &["nonsense"]] {
        let ran = run(arguments);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{arguments:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn without_a_cluster_the_error_says_what_to_do() {
    let ran = run(&["status"]);
    assert_eq!((ran.code, &*ran.out), (2, ""));
    assert!(
        ran.err.starts_with("error: can't tell which cluster is meant: ") && ran.err.contains("KUBECONFIG"),
        "{}",
        ran.err
    );
}

#[test]
fn completion_and_version() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completion", shell]);
        assert!(
            ran.code == 0 && ran.out.contains("kubectl-sentiment") && ran.out.contains("lint"),
            "{shell}: {}",
            ran.err
        );
    }
    let version = run(&["version"]);
    assert_eq!(
        version.out,
        format!("kubectl-sentiment {}, for kubesentiment.io/v1alpha1\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(run(&["nonsense"]).code, 2);
}
