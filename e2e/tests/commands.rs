//! Every block of commands in the documentation: what runs it is listed, and what it names is there.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use clap::{Parser, error::ErrorKind};
use kubectl_sentiment::cli::Cli;
use kubesentiment_e2e::{
    cluster::cluster_program,
    documentation::{Block, Fate, ROWS, blocks, programs, row},
    repository,
};

/// Programs of others, whose command lines nothing here knows, and the tests of our own programs.
const OTHERS: [&str; 27] = [
    "base64",
    "cargo",
    "cosign",
    "curl",
    "docker",
    "git",
    "grpcurl",
    "head",
    "install",
    "jq",
    "ls",
    "openssl",
    "optimum-cli",
    "pip",
    "python3",
    "sha256sum",
    "skopeo",
    "sleep",
    "sudo",
    "tar",
    "wget",
    "date",
    "healthcheck",
    "model-fetch",
    "prepare-model",
    "sentiment-server",
    "sh",
];

#[test]
fn each_block_is_run_or_it_is_said_why_not() {
    let blocks = blocks().unwrap();
    assert!(blocks.len() > 60, "only {} blocks were found", blocks.len());
    let unlisted = blocks.iter().filter(|block| row(block).is_none());
    let unlisted: Vec<String> = unlisted.map(|block| format!("{}: {}", block.page, block.text)).collect();
    assert!(unlisted.is_empty(), "e2e/src/documentation.rs has no row for\n{}", unlisted.join("\n"));
    for listed in ROWS {
        let (page, beginning, fate) = listed;
        let is_used = blocks.iter().filter_map(row).any(|used| std::ptr::eq(used, listed));
        assert!(is_used, "e2e/src/documentation.rs: no block of {page} begins with {beginning}");
        if let Fate::Test(file) = fate {
            assert!(repository().join(file).is_file(), "{file} isn't there");
        }
    }
}

#[test]
fn what_the_blocks_name_is_there() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let mut wrong = Vec::new();
    for block in blocks().unwrap() {
        for words in programs(&block).unwrap() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if let Err(why) = understood(&words, &targets) {
                wrong.push(format!("{}: {}: {why}", block.page, words.join(" ")));
            }
        }
        wrong.extend(missing_files(&block));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a program takes these words, by its own reading of them where it is here.
fn understood(words: &[&str], targets: &BTreeSet<&str>) -> Result<(), String> {
    match words {
        ["make", arguments @ ..] => {
            let unknown = arguments.iter().find(|word| !word.contains('=') && !targets.contains(*word));
            unknown.map_or(Ok(()), |target| Err(format!("there is no target {target}")))
        }
        ["kubectl", "sentiment", ..] => match Cli::try_parse_from(&words[1..]) {
            Err(error) if error.kind() != ErrorKind::DisplayHelp => Err(error.to_string()),
            _ => Ok(()),
        },
        ["helm", rest @ ..] => {
            let chart = "charts/kubesentiment-operator";
            let sets = rest.windows(2).filter(|pair| pair[0] == "--set").flatten().copied();
            if rest.contains(&chart) {
                run("helm", ["template", "kubesentiment-operator", chart].into_iter().chain(sets))?;
            }
            run("helm", rest.iter().copied().chain(["--help"]))
        }
        // Words are read before the help is shown. What stands behind `--` is for the container.
        ["kubectl", rest @ ..] => {
            run("kubectl", rest.iter().copied().take_while(|word| *word != "--").chain(["--help"]))
        }
        [program, ..] if OTHERS.contains(program) => Ok(()),
        _ => Err("no program that is known here; if it is one, add it to e2e/tests/commands.rs".to_owned()),
    }
}

fn run<'a>(program: &str, arguments: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let output = cluster_program(program).args(arguments).current_dir(repository()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Files and folders of the repository that a block names and that aren't there.
fn missing_files(block: &Block) -> Vec<String> {
    let folders =
        ["charts/", "config/", "crds/", "docs/", "e2e/", "inference-server/", "models/", "scripts/", "Dockerfile."];
    let words = block.text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)));
    let names = words.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
    let missing = names.filter(|name| !repository().join(name).exists());
    missing.map(|name| format!("{}: there is no {name}", block.page)).collect()
}

/// Each page below docs/, and README.md, with its text.
fn pages() -> Vec<(String, String)> {
    let names = tracked();
    let names = names.iter().filter(|name| is_a(name, "md") && (name.starts_with("docs/") || !name.contains('/')));
    names.map(|name| (name.clone(), fs::read_to_string(repository().join(name)).unwrap())).collect()
}

/// The names of the files under version control.
fn tracked() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(repository()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

fn is_a(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|is| is == extension)
}

/// The words of a text, as programs have them.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[test]
fn the_settings_that_pages_name_are_there() {
    let settings = fs::read_to_string(repository().join("docs/settings.md")).unwrap();
    let known: BTreeSet<&str> = identifiers(&settings).collect();
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        // One that ends so stands for all that begin so.
        let unknown = identifiers(&text)
            .filter(|name| name.starts_with("MLOPS_") && !name.ends_with('_') && !known.contains(name))
            .map(|name| format!("{page}: {name}"));
        wrong.extend(unknown);
    }
    assert!(wrong.is_empty(), "docs/settings.md hasn't\n{}", wrong.join("\n"));
}

/// Pages give tests as evidence: "`file.rs`: `name`, `name`". The tables of cases are in files of their own.
#[test]
fn the_tests_that_pages_name_are_there() {
    let files = tracked();
    let code: Vec<&String> = files.iter().filter(|name| is_a(name, "rs")).collect();
    let texts: Vec<String> = code.iter().map(|name| fs::read_to_string(repository().join(name)).unwrap()).collect();
    let known: BTreeSet<&str> = texts.iter().flat_map(|text| identifiers(text)).collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, text) in pages() {
        for (at, _) in text.match_indices(".rs`: `") {
            let file = text[..at + 3].rsplit('`').next().unwrap_or_default();
            // A path may leave out folders, but names each that it has.
            let leads_to = |name: &str| file.split('/').all(|part| name.split('/').any(|folder| folder == part));
            if !code.iter().any(|name| leads_to(name)) {
                wrong.push(format!("{page}: there is no {file}"));
            }
            let mut rest = &text[at + ".rs`: ".len()..];
            while let Some((name, behind)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
                count += 1;
                if !known.contains(name) {
                    wrong.push(format!("{page}: {file} has no {name}"));
                }
                let Some(next) = behind.strip_prefix(", ") else { break };
                rest = next;
            }
        }
    }
    assert!(count > 50, "only {count} were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
