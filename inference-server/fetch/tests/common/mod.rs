//! Servers that speak as much HTTP as the tests need, and misbehave as they are told; and the program itself, run.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(missing_docs, reason = "test code")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// A request, read.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first byte of the range that is asked for.
    pub fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }

    /// The path without its query.
    pub fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap()
    }
}

/// What is answered, and how badly.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body that are sent before the connection ends.
    pub cut_at: Option<usize>,
    /// Bytes that are sent at a time, with a pause behind each.
    pub drip: Option<(usize, Duration)>,
    /// Neither length nor chunks: the end of the connection ends the body.
    pub no_length: bool,
}

impl Answer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    pub fn status(status: u16) -> Self {
        Self { status, body: b"<html>no</html>".to_vec(), ..Self::default() }
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(302).with("Location", to)
    }

    /// A file, or the part of it that is asked for.
    pub fn file(content: &[u8], etag: &str, request: &Request) -> Self {
        let from = request.from();
        let is_same = request.header("if-range").is_none_or(|tag| tag == etag)
            && request.header("if-match").is_none_or(|tag| tag == etag);
        let answer = if from >= content.len() && from > 0 && is_same {
            Self::status(416).with("Content-Range", &format!("bytes */{}", content.len()))
        } else if from > 0 && is_same {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            Self { status: 206, ..Self::ok(&content[from..]) }.with("Content-Range", &range)
        } else {
            Self::ok(content)
        };
        if etag.is_empty() { answer } else { answer.with("ETag", etag) }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cut_at(self, bytes: usize) -> Self {
        Self { cut_at: Some(bytes), ..self }
    }

    pub fn drip(self, bytes: usize, pause: Duration) -> Self {
        Self { drip: Some((bytes, pause)), ..self }
    }

    fn send(&self, stream: &mut impl Write) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        if !self.no_length {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        let body = &self.body[..self.cut_at.unwrap_or(self.body.len()).min(self.body.len())];
        let (step, pause) = self.drip.unwrap_or((1 << 16, Duration::ZERO));
        for part in body.chunks(step.max(1)) {
            stream.write_all(part)?;
            stream.flush()?;
            thread::sleep(pause);
        }
        Ok(())
    }
}

/// A server on this machine, for as long as the test's process lives.
pub struct Server {
    pub address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    pub fn start_tls(config: ServerConfig, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Some(Arc::new(config)), answer)
    }

    fn listen(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        let scheme = if tls.is_some() { "https" } else { "http" };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer, tls) = (Arc::clone(&log), Arc::clone(&answer), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &log, &*answer),
                    Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &log, &*answer),
                });
            }
        });
        Self { address, scheme, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The same server by another name, and so another origin.
    pub fn url_by_name(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests for a path.
    pub fn asked(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.plain_path() == path).collect()
    }
}

fn serve(stream: impl Read + Write, log: &Mutex<Vec<Request>>, answer: &(impl Fn(&Request) -> Answer + ?Sized)) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers: Vec<_> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut request = Request { method, path, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    request.body = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push(request.clone());
    let mut answer = answer(&request);
    if request.method == "HEAD" {
        answer.cut_at = Some(0);
    }
    let stream = stream.get_mut();
    let _ = answer.send(stream);
    let _ = stream.flush();
}

/// An authority of its own, and a server's side of TLS for this machine.
pub fn tls() -> (String, ServerConfig) {
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (authority.pem(), config)
}

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

/// Bytes that aren't alike anywhere, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An ONNX file as far as anything here reads it: a message whose text, `doc_string`, is so long.
pub fn onnx(length: usize) -> Vec<u8> {
    let mut bytes = vec![6 << 3 | 2];
    varint(length, &mut bytes);
    bytes.extend(noise(length));
    bytes
}

/// An ONNX file whose one tensor has its numbers in another file.
pub fn onnx_with_weights_in(location: &str) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        varint(content.len(), &mut bytes);
        [bytes, content.to_vec()].concat()
    };
    let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
    field(7, &field(5, &field(13, &entry)))
}

fn varint(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
}

pub const CONFIG: &str = r#"{"id2label":{"0":"NEGATIVE","1":"POSITIVE"},"model_type":"distilbert"}"#;
pub const TOKENIZER: &str = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}"#;

/// The files of a small model.
pub fn small_model() -> Vec<(String, Vec<u8>)> {
    model(&[("model.onnx", onnx(1000))])
}

/// A model's files with these beside its configuration and tokenizer.
pub fn model(with: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let plain = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER)];
    let plain = plain.into_iter().map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
    plain.chain(with.iter().map(|(name, content)| ((*name).to_owned(), content.clone()))).collect()
}

/// A tar of files.
pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        add(&mut builder, name.as_bytes(), tar::EntryType::Regular, content);
    }
    builder.into_inner().unwrap()
}

/// Adds an entry under a name that the library itself may refuse.
pub fn add(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: tar::EntryType, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn sha256(content: &[u8]) -> String {
    model_fetch::checks::sha256(content)
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

/// A connection that nobody answers.
pub fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}
