//! Many processes on one volume, and those that were killed on it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::common::{self, Answer, Folder, Request, Run, Server, fetch, model, onnx, tar_of, wait_for};

fn archive() -> Vec<u8> {
    tar_of(&model(&[("model.onnx", onnx(4 << 20))]))
}

/// A server that takes about a second for the archive.
fn slow() -> Server {
    Server::start(|request| Answer::file(&archive(), "\"1\"", request).drip(1 << 18, Duration::from_millis(60)))
}

#[test]
fn many_at_once_fetch_once() {
    let folder = Folder::new("many");
    let server = slow();
    let url = server.url("/m.tar");
    let mut running: Vec<_> = (0..4).map(|_| Run::new(&folder, &["http", &url])).collect();
    let children: Vec<_> = running.iter_mut().map(Run::start).collect();
    let started = Instant::now();
    let outcomes: Vec<_> =
        running.into_iter().zip(children).map(|(run, child)| run.end(child, started).assert_ok()).collect();
    assert_eq!(server.requests().len(), 1);
    let waited = outcomes.iter().filter(|outcome| outcome.log.contains("waiting for another process")).count();
    let found = outcomes.iter().filter(|outcome| outcome.log.contains("the model is there already")).count();
    assert_eq!((waited, found), (3, 3));
    assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"]);
}

#[test]
fn what_a_killed_process_left_is_gone_on_with() {
    let folder = Folder::new("killed");
    let server = slow();
    let url = server.url("/m.tar");
    let parts = folder.join(".model.partial/parts");
    let fetched = || {
        let files = fs::read_dir(&parts).into_iter().flatten().flatten();
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).max().unwrap_or(0)
    };
    let mut child = Run::new(&folder, &["http", &url]).start();
    wait_for("bytes of the first run", || fetched() > 1 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = fetched();
    assert!(!folder.model().exists());
    let outcome = fetch(&folder, &["http", &url]).assert_ok();
    let from: Vec<_> = server.requests().iter().map(Request::from).collect();
    assert_eq!(from, [0, usize::try_from(left).unwrap()]);
    assert_eq!(outcome.logged("fetched"), Some((archive().len() as u64 - left).into()));
    assert_eq!(fs::read(folder.model().join("model.onnx")).unwrap(), onnx(4 << 20));
    assert!(!folder.join(".model.partial").exists());
}

#[test]
fn one_waits_for_another_that_is_killed_and_goes_on_for_it() {
    let folder = Folder::new("heir");
    let server = slow();
    let url = server.url("/m.tar");
    let mut first = Run::new(&folder, &["http", &url]).start();
    wait_for("the first request", || !server.requests().is_empty());
    let mut second = Run::new(&folder, &["http", &url]);
    let child = second.start();
    thread::sleep(Duration::from_millis(500));
    first.kill().unwrap();
    first.wait().unwrap();
    second.end(child, Instant::now()).assert_ok();
    assert_eq!(server.requests().len(), 2);
    assert!(server.requests()[1].from() > 0);
}

#[test]
fn what_was_torn_by_a_crash_is_fetched_anew() {
    let folder = Folder::new("torn");
    let server = slow();
    let url = server.url("/m.tar");
    let digest = common::sha256(&archive());
    let with = ["http", &url, "--sha256", &digest];
    let parts = folder.join(".model.partial/parts");
    let mut child = Run::new(&folder, &with).start();
    let part = || {
        let files = fs::read_dir(&parts).into_iter().flatten().flatten().map(|file| file.path());
        files.filter(|path| path.extension().is_none()).find(|path| fs::metadata(path).unwrap().len() > 1 << 20)
    };
    wait_for("bytes of the first run", || part().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let path = part().unwrap();
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    fs::write(&path, vec![0; length]).unwrap();
    fetch(&folder, &with).assert_ok();
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [0, length, 0]);
}

#[test]
fn what_is_left_of_another_version_goes_away() {
    let folder = Folder::new("left");
    let stale = folder.write(".model.partial/parts/0123", "x");
    let tree = folder.write(".model.partial/tree/evil.json", "x");
    let server = Server::start(|request| Answer::file(&archive(), "\"1\"", request));
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    assert!(!stale.exists() && !tree.exists());
    assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"]);
}

#[test]
fn a_signal_ends_it_at_once_with_a_word() {
    let folder = Folder::new("signal");
    let server = slow();
    let mut run = Run::new(&folder, &["http", &server.url("/m.tar")]);
    let child = run.start();
    wait_for("the first request", || !server.requests().is_empty());
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let outcome = run.end(child, Instant::now()).assert_failed(&["stopped by a signal"]);
    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
}

#[test]
fn an_empty_directory_is_no_model() {
    let folder = Folder::new("empty");
    fs::create_dir_all(folder.model()).unwrap();
    let server = Server::start(|request| Answer::file(&archive(), "\"1\"", request));
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    assert_eq!(folder.listed().len(), 3);
}

#[test]
fn files_can_be_read_by_others() {
    let folder = Folder::new("modes");
    let server = Server::start(|request| Answer::file(&archive(), "\"1\"", request));
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    let mode = |name: &str| fs::metadata(folder.model().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("") & 0o555, mode("model.onnx") & 0o444), (0o555, 0o444));
    assert_eq!(mode("model.onnx") & 0o111, 0);
}

#[test]
fn a_place_that_cant_be_written_is_said() {
    let folder = Folder::new("unwritable");
    let file = folder.write("file", "x");
    let into = file.join("model").display().to_string();
    let outcome = fetch(&folder, &["--into", &into, "http", "http://127.0.0.1:1/m.tar"]);
    outcome.assert_failed(&["can't be used"]);
}
