//! Servers that speak as much HTTP as the tests need, and misbehave as they are told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
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

/// A connection that nobody answers.
pub fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}
