//! Starts the real server with a real model and talks to it over loopback.

#![allow(dead_code, reason = "each program of tests uses its own part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

pub mod mounted;
pub mod redis;

use std::{
    fmt::Debug,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use serde_json::Value;
use ureq::{Agent, Body, http::Response};

/// The value of a series, by its name and labels as they are written.
pub fn series<T: FromStr<Err: Debug>>(scrape: &str, name: &str) -> Option<T> {
    let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

pub fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default")
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// ONNX Runtime's library. A relative path counts from the workspace's root, where `make` runs.
pub fn library() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = std::env::var("ORT_DYLIB_PATH").unwrap_or_else(|_| ".cache/onnxruntime/libonnxruntime.so".to_owned());
    let path = root.join(path);
    assert!(path.is_file(), "ONNX Runtime is not at {}: run `make onnxruntime` first", path.display());
    path
}

/// The server's command with nothing of this process's own settings.
pub fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentiment-server"));
    command
        .env_clear()
        .env("ORT_DYLIB_PATH", library())
        .env("MLOPS_PORT", "0")
        .env("MLOPS_GRPC_PORT", "0")
        .env("MLOPS_HOST", "127.0.0.1")
        .env("MLOPS_ONNX_MODEL_PATH", default_model())
        .env("MLOPS_DRAIN_SECONDS", "0")
        .env("MLOPS_TERMINATION_LOG", "/nonexistent/termination-log")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A folder of its own under the system's temporary one, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kubesentiment-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// That an object has these keys and no others.
pub fn assert_keys(value: &Value, expected: &[&str]) {
    let mut found: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// A server that is killed when dropped.
pub struct Server {
    child: Child,
    lines: Receiver<Value>,
    pub address: String,
    /// Address of the port of gRPC, if it is served.
    pub grpc_address: String,
    /// Address of the management port, if there is one.
    pub management: String,
    pub prefix: String,
    /// `http`, or `https` for an agent that knows the authority.
    pub scheme: &'static str,
    pub agent: Agent,
}

impl Server {
    /// Starts a server and returns as soon as it listens.
    pub fn listening(settings: &[(&str, &str)]) -> Self {
        Self::of(command(settings))
    }

    /// As [`Self::listening`], by a command of [`command`]'s.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = crossbeam_channel::unbounded();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line.clone()));
                if sender.send(parsed).is_err() {
                    return;
                }
            }
        });
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        let [address, grpc_address, management] = [const { String::new() }; 3];
        let (prefix, scheme) = ("/api/v1".to_owned(), "http");
        let mut server = Self { child, lines, address, grpc_address, management, prefix, scheme, agent };
        let listening = server.line("listening");
        listening["address"].as_str().unwrap().clone_into(&mut server.address);
        listening["grpc"].as_str().unwrap_or_default().clone_into(&mut server.grpc_address);
        listening["management"].as_str().unwrap_or_default().clone_into(&mut server.management);
        server
    }

    /// Starts a server and returns when it is ready.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let server = Self::listening(settings);
        server.line("ready");
        server
    }

    /// The next log line with this message.
    pub fn line(&self, message: &str) -> Value {
        self.line_with("message", message)
    }

    /// The next line whose field is this.
    pub fn line_with(&self, field: &str, value: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("no line {value:?}"));
            if line[field] == value {
                return line;
            }
        }
    }

    /// All log lines up to the one with this message.
    pub fn lines_until(&self, message: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &Value| line["message"] != message) {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            lines.push(line.unwrap_or_else(|_| panic!("no line {message:?}")));
        }
        lines
    }

    /// All log lines until the process ends.
    pub fn lines_to_the_end(&self) -> Vec<Value> {
        self.lines.iter().collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{}{path}", self.scheme, self.address, self.prefix)
    }

    pub fn get(&self, path: &str) -> Response<Body> {
        self.agent.get(self.url(path)).call().unwrap()
    }

    pub fn post(&self, path: &str, body: &str) -> Response<Body> {
        self.agent.post(self.url(path)).content_type("application/json").send(body).unwrap()
    }

    /// The metrics as Prometheus reads them.
    pub fn scrape(&self) -> String {
        self.get("/metrics").body_mut().read_to_string().unwrap()
    }

    /// The value of one series now.
    pub fn series<T: FromStr<Err: Debug>>(&self, name: &str) -> Option<T> {
        series(&self.scrape(), name)
    }

    pub fn predict(&self, text: &str) -> Value {
        let mut response = self.post("/predict", &serde_json::json!({ "text": text }).to_string());
        assert_eq!(response.status(), 200);
        json(&mut response)
    }

    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends a signal by name to this one process.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id()]).status().unwrap();
        assert!(sent.success());
    }

    /// How the process ends, within this time.
    pub fn exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server still runs after {within:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn json(response: &mut Response<Body>) -> Value {
    response.body_mut().read_json().unwrap()
}
