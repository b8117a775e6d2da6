//! The server as a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use inference_server::process;

pub struct Server {
    child: Child,
    pub address: String,
    pub grpc_address: String,
    /// From the start of the process to the first answered prediction.
    pub first_answer: Duration,
}

/// Counts since the process started.
pub struct Done {
    /// User and system time.
    pub cpu_seconds: f64,
    pub runs: f64,
    pub texts: f64,
    pub tokens: f64,
    pub padding: f64,
}

impl Server {
    /// Starts it and sends `request` until that is answered.
    pub fn start(settings: &[(&str, &str)], request: &[u8]) -> Self {
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sentiment-server"))
            .env("MLOPS_HOST", "127.0.0.1")
            .env("MLOPS_PORT", "0")
            .env("MLOPS_GRPC_PORT", "0")
            .env("MLOPS_PROFILE", "production")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let of = |field: &str| line[field].as_str().unwrap().to_owned();
        let (address, grpc_address) = (of("address"), of("grpc"));
        thread::spawn(move || lines.for_each(drop));
        let mut server = Self { child, address, grpc_address, first_answer: Duration::ZERO };
        let mut connection = TcpStream::connect(&server.address).unwrap();
        while !is_predicted(&mut connection, request) {
            thread::sleep(Duration::from_millis(1));
        }
        server.first_answer = start.elapsed();
        server
    }

    /// Its process id.
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// What it has done so far.
    pub fn done(&self) -> Done {
        let metrics = format!("http://{}/api/v1/metrics", self.address);
        let text = ureq::get(metrics).call().unwrap().body_mut().read_to_string().unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
            line.parse::<f64>().unwrap()
        };
        Done {
            cpu_seconds: process::usage_of(&self.id()).unwrap().cpu_seconds,
            runs: value("sentiment_batch_size_count"),
            texts: value("sentiment_batch_size_sum"),
            tokens: value("sentiment_tokens_total"),
            padding: value("sentiment_padding_tokens_total"),
        }
    }

    /// A line of `/proc/PID/status`, in MiB.
    pub fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

fn is_predicted(connection: &mut TcpStream, request: &[u8]) -> bool {
    let mut answer = [0; 4096];
    connection.write_all(request).unwrap();
    let read = connection.read(&mut answer).unwrap();
    answer[..read].starts_with(b"HTTP/1.1 200")
}

impl Drop for Server {
    fn drop(&mut self) {
        // Loads are over by now, so nothing is lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
