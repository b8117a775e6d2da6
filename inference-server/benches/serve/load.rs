//! Sends requests over loopback and takes their times. One thread and bare sockets, since the client
//! runs on the same CPUs as the server it measures: what it uses, the server lacks.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde_json::{Value, json};

use crate::texts::Numbers;

/// A load that isn't answered for so long has found a defect.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// From a load's start until it is what it will be: a closed one begins with all connections at
/// once, an open one with an empty queue.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// One answered request.
pub struct Sample {
    /// Index of its text.
    pub text: usize,
    /// Its status code.
    pub status: u16,
    /// From when it was due to its answer.
    pub took: Duration,
}

impl Sample {
    pub fn is_accepted(&self) -> bool {
        self.status == 200
    }

    pub fn is_refused(&self) -> bool {
        self.status == 503
    }
}

/// All that was answered, and in which time.
pub struct Run {
    pub samples: Vec<Sample>,
    pub time: Duration,
}

impl Run {
    pub fn accepted(&self) -> f64 {
        self.samples.iter().filter(|sample| sample.is_accepted()).count() as f64 / self.time.as_secs_f64()
    }

    /// A percentile of the times of those that are selected, in milliseconds.
    pub fn percentile(&self, percent: usize, select: impl Fn(&Sample) -> bool) -> f64 {
        let mut times: Vec<Duration> =
            self.samples.iter().filter(|sample| select(sample)).map(|sample| sample.took).collect();
        times.sort_unstable();
        let Some(last) = times.len().checked_sub(1) else {
            return f64::NAN;
        };
        times[last * percent / 100].as_secs_f64() * 1e3
    }
}

/// The requests' bytes, made once.
pub fn requests(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| request("predict", &json!({ "text": text }))).collect()
}

/// Requests of so many texts each.
pub fn batches(texts: &[String], size: usize) -> Vec<Vec<u8>> {
    texts.chunks_exact(size).map(|texts| request("predict/batch", &json!({ "texts": texts }))).collect()
}

fn request(route: &str, body: &Value) -> Vec<u8> {
    post(&format!("/api/v1/{route}"), "Content-Type: application/json\r\n", body.to_string().as_bytes())
}

/// A request with these lines of headers more.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A text that was sent, and from when on its time is taken.
struct Asked {
    text: usize,
    due: Instant,
}

struct Connection {
    stream: TcpStream,
    asked: Option<Asked>,
    answer: Vec<u8>,
}

impl Connection {
    /// What has come, with the status code once the answer is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<u16> {
        loop {
            let read = match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                read => read.unwrap(),
            };
            assert_ne!(read, 0, "the server ended a connection");
            self.answer.extend_from_slice(&buffer[..read]);
            // Nothing comes after a whole answer, so there is no need to ask.
            if let Some(status) = complete(&self.answer) {
                self.answer.clear();
                return Some(status);
            }
        }
    }
}

/// The status code, once head and body are there.
fn complete(answer: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; 24];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head.parse(answer).unwrap() else {
        return None;
    };
    let header = |name: &str| head.headers.iter().find(|header| header.name == name).map(|header| header.value);
    assert!(head.code != Some(503) || header("retry-after").is_some(), "503 without Retry-After");
    let length: usize = std::str::from_utf8(header("content-length")?).unwrap().parse().unwrap();
    (answer.len() - head_bytes >= length).then_some(head.code?)
}

/// Connections to the server, and what each waits for.
struct Connections<'a> {
    address: SocketAddr,
    requests: &'a [Vec<u8>],
    poll: Poll,
    events: Events,
    all: Vec<Connection>,
    idle: Vec<usize>,
    buffer: Vec<u8>,
    /// Requests so far; they go through the texts in turn.
    sent: usize,
}

impl<'a> Connections<'a> {
    fn new(address: &str, requests: &'a [Vec<u8>]) -> Self {
        Self {
            address: address.parse().unwrap(),
            requests,
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            all: Vec::new(),
            idle: Vec::new(),
            buffer: vec![0; 16 * 1024],
            sent: 0,
        }
    }

    /// Opens one more.
    fn open(&mut self) -> usize {
        // Blocks for as long as the kernel needs, which on loopback is no time.
        let stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        let index = self.all.len();
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE).unwrap();
        self.all.push(Connection { stream, asked: None, answer: Vec::with_capacity(1024) });
        index
    }

    /// Sends the next request, on a connection that waits for nothing.
    fn send(&mut self, due: Instant) {
        let index = self.idle.pop().unwrap_or_else(|| self.open());
        let text = self.sent % self.requests.len();
        self.sent += 1;
        let connection = &mut self.all[index];
        let sent = connection.stream.write(&self.requests[text]).unwrap();
        assert_eq!(sent, self.requests[text].len(), "the socket's buffer has room for a request");
        connection.asked = Some(Asked { text, due });
    }

    fn unanswered(&self) -> usize {
        self.all.len() - self.idle.len()
    }

    /// Takes the answers that come until then, but returns with the first ones.
    fn receive(&mut self, until: Instant, samples: &mut Vec<Sample>) {
        let patience = until.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            polled => polled.unwrap(),
        }
        for event in &self.events {
            let Token(index) = event.token();
            let connection = &mut self.all[index];
            let Some(status) = connection.receive(&mut self.buffer) else { continue };
            let Some(Asked { text, due }) = connection.asked.take() else { continue };
            samples.push(Sample { text, status, took: due.elapsed() });
            self.idle.push(index);
        }
    }
}

/// A load of connections each of which sends its next request when the last one is answered.
pub struct Closed<'a>(Connections<'a>);

impl<'a> Closed<'a> {
    /// Starts the load, and waits until it is what it will be.
    pub fn start(address: &str, requests: &'a [Vec<u8>], connections: usize) -> Self {
        let mut load = Connections::new(address, requests);
        load.idle = (0..connections).map(|_| load.open()).collect();
        let mut load = Self(load);
        load.run(SETTLED_AFTER);
        load
    }

    /// Goes on for so long. What is unanswered then is answered in the next run.
    pub fn run(&mut self, time: Duration) -> Run {
        let Self(load) = self;
        let (start, mut samples) = (Instant::now(), Vec::new());
        while start.elapsed() < time {
            while !load.idle.is_empty() {
                load.send(Instant::now());
            }
            load.receive(start + time, &mut samples);
        }
        Run { samples, time: start.elapsed() }
    }
}

/// A load of requests that come at a rate, at random distances, whether or not earlier ones are
/// answered.
pub struct Open<'a> {
    load: Connections<'a>,
    per_second: f64,
    distances: Numbers,
    /// When the next request is.
    due: Instant,
}

impl<'a> Open<'a> {
    /// Starts the load, and waits until it is what it will be.
    pub fn start(address: &str, requests: &'a [Vec<u8>], per_second: f64) -> Self {
        let load = Connections::new(address, requests);
        let mut load = Self { load, per_second, distances: Numbers::new(23), due: Instant::now() };
        load.run(SETTLED_AFTER);
        load
    }

    /// Goes on for so long. What is unanswered then is answered in the next run.
    pub fn run(&mut self, time: Duration) -> Run {
        let (start, mut samples) = (Instant::now(), Vec::new());
        while start.elapsed() < time {
            while self.due < Instant::now() {
                self.load.send(self.due);
                let distance = self.distance();
                self.due += distance;
            }
            self.load.receive(self.due.min(start + time), &mut samples);
        }
        Run { samples, time: start.elapsed() }
    }

    /// Until one more request, of which so many come in a second: exponentially distributed.
    fn distance(&mut self) -> Duration {
        let uniform = (self.distances.next() >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - uniform).ln() / self.per_second)
    }

    /// Waits for the last answers.
    pub fn finish(mut self) {
        let (until, mut samples) = (Instant::now() + ANSWERED_WITHIN, Vec::new());
        while self.load.unanswered() > 0 {
            assert!(Instant::now() < until, "{} requests have no answer", self.load.unanswered());
            self.load.receive(until, &mut samples);
        }
    }
}
