//! Sends requests over loopback and takes their times. Written on bare sockets, since the client
//! runs on the same CPUs as the server it measures.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
};

use crate::texts::Numbers;

/// One answered request.
pub struct Sample {
    /// Index of its text.
    pub text: usize,
    /// Its status code.
    pub status: u16,
    /// From when it was due to its answer.
    pub took: Duration,
}

/// All that was answered, and in which time.
pub struct Run {
    pub samples: Vec<Sample>,
    pub time: Duration,
}

impl Run {
    pub fn accepted(&self) -> f64 {
        self.samples.iter().filter(|sample| sample.status == 200).count() as f64 / self.time.as_secs_f64()
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
pub fn requests(texts: &[String]) -> Arc<Vec<Vec<u8>>> {
    let request = |text: &String| {
        let body = serde_json::json!({ "text": text }).to_string();
        let head = "POST /api/v1/predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    Arc::new(texts.iter().map(request).collect())
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = complete(&self.buffer) {
                return Ok(status);
            }
        }
    }
}

impl Client {
    /// The body at a path; closes the connection.
    pub async fn get(mut self, path: &str) -> std::io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }
}

/// The status code, once head and body are there.
fn complete(answer: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(!head.starts_with("HTTP/1.1 503") || head.contains("\r\nretry-after: "), "503 without Retry-After: {head}");
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    (body.len() >= length).then(|| head.get(9..12)?.parse().ok()).flatten()
}

/// A load of connections each of which sends its next request when the last one is answered.
pub struct Closed {
    tasks: JoinSet<Vec<Sample>>,
    /// From when on answers count, and then until when.
    since: Arc<OnceLock<Instant>>,
    stop: Arc<AtomicBool>,
}

impl Closed {
    /// Starts the load. All connections send their first request at once, so the first second isn't
    /// what the load is like.
    pub async fn start(address: &str, requests: &Arc<Vec<Vec<u8>>>, connections: usize) -> Self {
        let next = Arc::new(AtomicUsize::new(0));
        let (since, stop) = (Arc::new(OnceLock::<Instant>::new()), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
            let (since, stop) = (Arc::clone(&since), Arc::clone(&stop));
            let mut client = Client::connect(address).await.unwrap();
            tasks.spawn(async move {
                let mut samples = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let text = next.fetch_add(1, Ordering::Relaxed) % requests.len();
                    let sent = Instant::now();
                    let status = client.send(&requests[text]).await.unwrap();
                    if since.get().is_some_and(|since| sent >= *since) {
                        samples.push(Sample { text, status, took: sent.elapsed() });
                    }
                }
                samples
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { tasks, since, stop }
    }

    /// What is sent from now on for this long, and its answers; ends the load.
    pub async fn measure(self, time: Duration) -> Run {
        let start = *self.since.get_or_init(Instant::now);
        tokio::time::sleep(time).await;
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.tasks.join_all().await.into_iter().flatten().collect();
        Run { samples, time: start.elapsed() }
    }
}

/// Requests come at this rate whether or not earlier ones are answered, at random distances.
pub async fn open(address: &str, requests: &Arc<Vec<Vec<u8>>>, per_second: f64, time: Duration) -> Run {
    let idle = Arc::new(Mutex::new(Vec::<Client>::new()));
    let mut numbers = Numbers::new(23);
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    let (mut due, mut count) = (Duration::ZERO, 0);
    while due < time {
        tokio::time::sleep_until((start + due).into()).await;
        let (requests, idle, address) = (Arc::clone(requests), Arc::clone(&idle), address.to_owned());
        let (text, was_due) = (count % requests.len(), start + due);
        tasks.spawn(async move {
            let client = idle.lock().await.pop();
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(&address).await.unwrap(),
            };
            let status = client.send(&requests[text]).await.unwrap();
            let took = was_due.elapsed();
            idle.lock().await.push(client);
            Sample { text, status, took }
        });
        count += 1;
        let uniform = (numbers.next() >> 11) as f64 / (1_u64 << 53) as f64;
        due += Duration::from_secs_f64(-(1.0 - uniform).ln() / per_second);
    }
    let mut samples = Vec::new();
    while let Some(sample) = tasks.join_next().await {
        samples.push(sample.unwrap());
    }
    Run { samples, time: start.elapsed().max(time) }
}
