//! Folders, runs of the program, and servers for it.

mod content;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

pub use content::*;
pub use server::*;

/// A folder that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("model-fetch-{}-{count}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where the model is to be.
    pub fn model(&self) -> PathBuf {
        self.join("model")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The model's files and their sizes.
    pub fn listed(&self) -> Vec<String> {
        list(&self.model())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files below a folder that aren't hidden.
pub fn list(folder: &Path) -> Vec<String> {
    fn look(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                look(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    look(folder, folder, &mut found);
    found.sort();
    found
}

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub is_ok: bool,
    pub log: String,
    /// What is in the termination log.
    pub told: String,
    pub took: Duration,
}

impl Outcome {
    #[track_caller]
    pub fn assert_ok(self) -> Self {
        assert!(self.is_ok, "{}\n{}", self.told, self.log);
        assert_eq!(self.told, "");
        self
    }

    /// It failed with one sentence that holds these words.
    #[track_caller]
    pub fn assert_failed(self, words: &[&str]) -> Self {
        assert!(!self.is_ok, "it went well:\n{}", self.log);
        let sentence = self.told.strip_prefix("ModelFetchFailed: ");
        let sentence = sentence.unwrap_or_else(|| panic!("no reason in {:?}\n{}", self.told, self.log));
        assert!(!sentence.contains('\n'), "{sentence}");
        assert!(self.log.lines().last().unwrap_or_default().contains("ERROR"), "{}", self.log);
        for word in words {
            assert!(sentence.contains(word), "{word:?} isn't in: {sentence}\n{}", self.log);
        }
        self
    }

    /// A value of the last log line that has it.
    pub fn logged(&self, key: &str) -> Option<serde_json::Value> {
        self.log.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?.get(key).cloned())
    }
}

/// The program with its arguments: few tries, little patience.
pub struct Run {
    command: Command,
    termination_log: PathBuf,
}

impl Run {
    pub fn new(folder: &Folder, arguments: &[&str]) -> Self {
        Self::in_place_of(Command::new(env!("CARGO_BIN_EXE_model-fetch")), folder, arguments)
    }

    /// By way of another program, which runs it.
    pub fn in_place_of(mut command: Command, folder: &Folder, arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let termination_log = folder.write(&format!("termination-{}", COUNT.fetch_add(1, Relaxed)), "");
        if !arguments.contains(&"--into") {
            command.arg("--into").arg(folder.model());
        }
        command.args(arguments);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("TERMINATION_LOG", &termination_log).env("MODEL_FETCH_LOG", "debug");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, termination_log }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn start(&mut self) -> Child {
        self.command.spawn().unwrap()
    }

    pub fn run(mut self) -> Outcome {
        let started = Instant::now();
        let child = self.start();
        self.end(child, started)
    }

    pub fn end(self, child: Child, started: Instant) -> Outcome {
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let told = fs::read_to_string(&self.termination_log).unwrap();
        Outcome { is_ok: output.status.success(), log, told, took: started.elapsed() }
    }
}

/// Runs it to its end.
pub fn fetch(folder: &Folder, arguments: &[&str]) -> Outcome {
    Run::new(folder, arguments).run()
}

/// Waits for something, and fails where it doesn't come.
#[track_caller]
pub fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
