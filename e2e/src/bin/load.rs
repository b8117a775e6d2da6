//! Constant load on a service, from inside the node's network, with no retry:
//!
//!     load ADDRESS REQUESTS-PER-SECOND
//!
//! It ends when its standard input does, or after five minutes, and prints a [`Report`] as JSON.

use std::{
    env,
    fmt::Display,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use kubesentiment_e2e::{Failure, Report};
use serde_json::{Value, json};

const CONNECTIONS: u32 = 16;

/// Requests after which a connection is given up, so that new ones are made all the time, too.
const REQUESTS_PER_CONNECTION: u32 = 100;

/// One request in so many asks for a text that no cache has seen.
const ONE_NEW_TEXT_IN: u32 = 50;

/// Longest wait for an answer before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest run, should nobody end it.
const LONGEST: Duration = Duration::from_mins(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [address, rate] => rate.parse::<u32>().ok().filter(|rate| *rate > 0).map(|rate| (address.clone(), rate)),
        _ => None,
    };
    let Some((address, rate)) = parsed else {
        eprintln!("usage: load ADDRESS REQUESTS-PER-SECOND");
        return ExitCode::FAILURE;
    };
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let pace = Duration::from_secs(1) * CONNECTIONS / rate;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (address, stop) = (address.clone(), Arc::clone(&stop));
            let first = begun + pace * number / CONNECTIONS;
            let caller = Caller { address, number, begun, connection: None };
            thread::spawn(move || caller.call_until(&stop, first, pace))
        })
        .collect();
    thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            stop.store(true, Ordering::Relaxed);
        }
    });
    let mut report = Report::default();
    for worker in workers {
        match worker.join() {
            Ok(part) => report.add(part),
            Err(_) => return ExitCode::FAILURE,
        }
    }
    println!("{}", json!(report));
    ExitCode::SUCCESS
}

struct Connection {
    stream: BufReader<TcpStream>,
    requests: u32,
}

/// One caller with one connection at a time.
struct Caller {
    address: String,
    number: u32,
    begun: Instant,
    connection: Option<Connection>,
}

impl Caller {
    fn call_until(mut self, stop: &AtomicBool, first: Instant, pace: Duration) -> Report {
        let mut report = Report::default();
        let mut due = first;
        while !stop.load(Ordering::Relaxed) && first.elapsed() < LONGEST {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = self.ask(u32::try_from(report.sent).unwrap_or(u32::MAX));
            // From when it was due: a caller that was held up has waited for all of that.
            report.count(milliseconds_since(self.begun), milliseconds_since(due), answer);
            due += pace;
        }
        report
    }

    /// Sends one request; true when the answer came from a cache.
    fn ask(&mut self, count: u32) -> Result<bool, Failure> {
        let text = if count.is_multiple_of(ONE_NEW_TEXT_IN) {
            format!("caller {} was told {count} times that all is well", self.number)
        } else {
            format!("a fine day, number {}", count % 20)
        };
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => connect(&self.address).map_err(|error| format!("connect: {error}"))?,
        };
        let (answer, stays_open) = connection.ask(&self.address, &text)?;
        if stays_open && connection.requests < REQUESTS_PER_CONNECTION {
            self.connection = Some(connection);
        }
        Ok(answer["cached"] == true)
    }
}

fn milliseconds_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn connect(address: &str) -> io::Result<Connection> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Connection { stream: BufReader::new(stream), requests: 0 })
}

impl Connection {
    /// The answer, and whether the server keeps the connection.
    fn ask(&mut self, host: &str, text: &str) -> Result<(Value, bool), Failure> {
        let body = json!({ "text": text }).to_string();
        let head = format!("POST /api/v1/predict HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", body.len());
        self.requests += 1;
        let requests = self.requests;
        let broken = |why: &dyn Display| format!("request {requests} of its connection: {why}");
        self.stream.get_mut().write_all(format!("{head}{body}").as_bytes()).map_err(|error| broken(&error))?;
        let (mut status, mut length, mut stays_open) = (String::new(), 0, true);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(|error| broken(&error))? == 0 {
                return Err(broken(&"closed without an answer"));
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                _ if line.is_empty() => break,
                Some(("content-length", value)) => {
                    length = value.parse().map_err(|_| line.clone())?;
                }
                Some(("connection", value)) => stays_open = value != "close",
                _ if status.is_empty() => status = line,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|error| broken(&error))?;
        if !status.starts_with("http/1.1 200") {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
        }
        match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if answer["label"].is_string() => Ok((answer, stays_open)),
            _ => Err(format!("no label in {}", String::from_utf8_lossy(&body))),
        }
    }
}
