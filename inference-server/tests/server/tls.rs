//! HTTPS of the real process: who is let in, what is renewed, and what a handshake may take.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

use crate::common::{Folder, Server, command, json, mounted::Mounted, series};

const HANDSHAKES: &str = r#"sentiment_connections_refused_total{reason="handshake"}"#;
const LIMIT: &str = r#"sentiment_connections_refused_total{reason="limit"}"#;
const EXPIRY: &str = "sentiment_tls_certificate_expiry_timestamp_seconds";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
struct Issued {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For the loopback address, until the first day of this year.
    fn issue(&self, year: i32) -> Issued {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// An agent that trusts this authority alone.
    fn agent(&self, client: Option<&Issued>) -> Agent {
        let client = client.map(|Issued { certificate, key }| {
            let certificate = Certificate::from_pem(certificate.as_bytes()).unwrap();
            ClientCert::new_with_certs(&[certificate], PrivateKey::from_pem(key.as_bytes()).unwrap())
        });
        let authority = Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[authority]))
            .client_cert(client)
            .build();
        Agent::config_builder().http_status_as_error(false).tls_config(tls).build().new_agent()
    }

    /// How a client speaks TLS that trusts this authority alone.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], own: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match own {
            Some(Issued { certificate, key }) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// A connection on which the handshake is done, with the current version.
    fn connect(&self, server: &Server) -> Client {
        Client::to(server, self.client(&[&TLS13], None))
    }
}

impl Issued {
    fn files(&self) -> [(&str, &str); 2] {
        [("tls.crt", &self.certificate), ("tls.key", &self.key)]
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

/// A connection of its own.
struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    fn to(server: &Server, config: ClientConfig) -> Self {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        Self(StreamOwned::new(connection, stream))
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn is_shown(&self, issued: &Issued) -> bool {
        self.0.conn.peer_certificates().unwrap()[0] == issued.der()
    }

    /// The head of the next response, whose body comes with it.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut some = [0; 4096];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = self.0.read(&mut some).unwrap();
            assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&some[..read]);
        }
        String::from_utf8(head).unwrap()
    }

    fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
        self.head()
    }
}

/// The settings for mounted files.
fn settings(mounted: &Mounted) -> [(&'static str, String); 2] {
    [("MLOPS_TLS_CERT_FILE", "tls.crt"), ("MLOPS_TLS_KEY_FILE", "tls.key")]
        .map(|(name, file)| (name, mounted.file(file).to_str().unwrap().to_owned()))
}

/// A ready server that speaks HTTPS with these files, and these settings more.
fn start(authority: &Authority, mounted: &Mounted, more: &[(&str, &str)]) -> Server {
    let tls = settings(mounted);
    let tls = tls.iter().map(|(name, value)| (*name, value.as_str()));
    let mut server = Server::listening(&tls.chain(more.iter().copied()).collect::<Vec<_>>());
    server.scheme = "https";
    server.agent = authority.agent(None);
    server.line("ready");
    server
}

/// Waits for the end of a connection on which nothing is said.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn https_is_spoken_in_both_versions_and_plain_http_is_told_so() {
    let authority = Authority::new("test");
    let mounted = Mounted::new("tls-spoken", &authority.issue(2090).files());
    let server = start(&authority, &mounted, &[]);
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut config = authority.client(&[version], None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = Client::to(&server, config);
        let connection = &client.0.conn;
        let spoken = (connection.protocol_version(), connection.alpn_protocol());
        assert_eq!(spoken, (Some(expected), Some(&b"http/1.1"[..])));
        assert!(client.get("/health").starts_with("HTTP/1.1 200 "));
        assert!(client.get("/health").starts_with("HTTP/1.1 200 "), "the connection is kept");
    }
    // 2090-01-01.
    assert_eq!(server.series(EXPIRY), Some(3_786_912_000_u64));
    assert_eq!(server.series(HANDSHAKES), Some(0));

    let plain = Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut told = plain.post(format!("http://{}/api/v1/predict", server.address)).send(r#"{"text":"a"}"#).unwrap();
    assert_eq!(told.status(), 400);
    let told = json(&mut told);
    assert_eq!(told["error_code"], "E1014");
    assert!(told["detail"].as_str().unwrap().contains("https://"), "{told}");
    let mut nonsense = TcpStream::connect(&server.address).unwrap();
    nonsense.write_all(&[0; 100]).unwrap();
    assert!(is_closed(&mut nonsense));
    // A probe of the port is no failure.
    drop(TcpStream::connect(&server.address).unwrap());
    assert_eq!(server.series(HANDSHAKES), Some(2));
}

#[test]
fn a_certificate_is_replaced_while_connections_are_open() {
    let authority = Authority::new("test");
    let (old, new, mixed) = (authority.issue(2080), authority.issue(2090), authority.issue(2095));
    let mut mounted = Mounted::new("tls-renewed", &old.files());
    let server = start(&authority, &mounted, &[]);
    let mut kept = authority.connect(&server);
    assert!(kept.is_shown(&old) && kept.get("/ready").starts_with("HTTP/1.1 200 "));
    let before: u64 = server.series(EXPIRY).unwrap();

    mounted.set(&new.files());
    server.line("a secret is renewed");
    assert!(kept.get("/ready").starts_with("HTTP/1.1 200 "));
    let mut client = authority.connect(&server);
    assert!(client.is_shown(&new) && client.get("/ready").starts_with("HTTP/1.1 200 "));
    assert_eq!(server.series::<u64>(EXPIRY).unwrap() - before, 3653 * 24 * 3600);

    let unusable = r#"sentiment_secret_file_unusable{variable="MLOPS_TLS_CERT_FILE"}"#;
    assert_eq!(server.series(unusable), Some(0));
    mounted.set(&[("tls.crt", &mixed.certificate), ("tls.key", &new.key)]);
    let line = server.line("a secret's file can't be used; what it held stays in force");
    let problem = line["problem"].as_str().unwrap();
    assert!(problem.starts_with("is not used: the file that MLOPS_TLS_KEY_FILE names holds another key "), "{problem}");
    assert_eq!(server.series(unusable), Some(1));
    assert!(authority.connect(&server).is_shown(&new));
    mounted.set(&[("tls.crt", &mixed.certificate[..300]), ("tls.key", &mixed.key)]);
    server.line("a secret's file can't be used; what it held stays in force");
    assert!(authority.connect(&server).is_shown(&new));

    mounted.set(&mixed.files());
    server.line("a secret is renewed");
    assert!(authority.connect(&server).is_shown(&mixed));
    assert_eq!(server.series(unusable), Some(0));
    assert!(kept.get("/ready").starts_with("HTTP/1.1 200 "));
}

#[test]
fn clients_show_a_certificate_of_the_authority_where_one_is_named() {
    let (authority, clients, strangers) =
        (Authority::new("server"), Authority::new("clients"), Authority::new("strangers"));
    let issued = authority.issue(2090);
    let [certificate, key] = issued.files();
    let mut mounted = Mounted::new("tls-clients", &[certificate, key, ("ca.crt", &clients.pem)]);
    let (friend, stranger) = (clients.issue(2090), strangers.issue(2090));
    let ca = mounted.file("ca.crt");
    let mut server = {
        let tls = settings(&mounted);
        let [certificate, key] = tls.each_ref().map(|(name, value)| (*name, value.as_str()));
        let ca = ("MLOPS_TLS_CLIENT_CA_FILE", ca.to_str().unwrap());
        Server::start(&[certificate, key, ca, ("MLOPS_MANAGEMENT_PORT", "0")])
    };
    server.scheme = "https";
    let management = Agent::config_builder().build().new_agent();
    let scrape = |server: &Server| {
        let url = format!("http://{}/metrics", server.management);
        management.get(url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let ask = |server: &Server, own: Option<&Issued>| {
        authority.agent(own).get(server.url("/health")).call().map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(&server, Some(&friend)).unwrap(), 200);
    for (own, alert) in [(None, "CertificateRequired"), (Some(&stranger), "UnknownCA")] {
        let error = ask(&server, own).unwrap_err().to_string();
        assert!(error.contains(alert), "{error}");
    }
    assert_eq!(series(&scrape(&server), HANDSHAKES), Some(2));

    // Also of those who were let in before.
    let config = Arc::new(authority.client(&[&TLS13], Some(&friend)));
    let connect = || {
        let mut client = Client::to(&server, ClientConfig::clone(&config));
        client.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut some = [0; 1024];
        client.0.read(&mut some).map(|read| String::from_utf8_lossy(&some[..read]).starts_with("HTTP/1.1 200 "))
    };
    assert!(connect().unwrap() && connect().unwrap());
    mounted.set(&[certificate, key, ("ca.crt", &strangers.pem)]);
    server.line("a secret is renewed");
    connect().unwrap_err();
    assert_eq!(ask(&server, Some(&stranger)).unwrap(), 200);
}

#[test]
fn a_handshake_that_hangs_is_dropped_in_time_and_keeps_nobody_waiting() {
    let authority = Authority::new("test");
    let mounted = Mounted::new("tls-hanging", &authority.issue(2090).files());
    let server = start(&authority, &mounted, &[("MLOPS_HEADER_TIMEOUT", "2")]);
    let begun = Instant::now();
    let mut hanging: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    // A record of 512 bytes is promised.
    for stream in &mut hanging[25..] {
        stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    }
    let mut client = authority.connect(&server);
    assert!(client.get("/health").starts_with("HTTP/1.1 200 "));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert!(server.series::<u32>("sentiment_open_connections").unwrap() >= 52);
    assert!(hanging.iter_mut().all(is_closed));
    let took = begun.elapsed().as_secs_f64();
    assert!((1.9..4.0).contains(&took), "{took}");
    assert_eq!(server.series(HANDSHAKES), Some(50));
    // The time of a head begins behind the handshake.
    let begun = Instant::now();
    let mut slow = authority.connect(&server);
    slow.send("GET");
    assert!(slow.head().starts_with("HTTP/1.1 408 "));
    let took = begun.elapsed().as_secs_f64();
    assert!((1.9..4.0).contains(&took), "{took}");
}

#[test]
fn places_are_given_over_tls_as_they_are_without() {
    let authority = Authority::new("test");
    let mounted = Mounted::new("tls-places", &authority.issue(2090).files());
    let server = start(&authority, &mounted, &[("MLOPS_MAX_CONNECTIONS", "2")]);
    // Handshakes that hang make place after a second, and idle connections at once.
    let mut hanging: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    thread::sleep(Duration::from_millis(1200));
    let mut idle: Vec<Client> = (0..2).map(|_| authority.connect(&server)).collect();
    for client in &mut idle {
        assert!(client.get("/health").starts_with("HTTP/1.1 200 "));
    }
    assert!(hanging.iter_mut().all(is_closed));
    let mut busy: Vec<Client> = (0..2).map(|_| authority.connect(&server)).collect();
    for client in &mut idle {
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "an idle one is closed in order");
    }
    for client in &mut busy {
        client.send("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n{\"text\":");
    }
    thread::sleep(Duration::from_millis(300));
    let head = authority.connect(&server).get("/api/v1/model-info");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("E4003"), "{head}");
    for path in ["/health", "/readyz", "/metrics"] {
        assert!(authority.connect(&server).get(path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    for client in &mut busy {
        client.send("\"a fine day\"}");
        assert!(client.head().starts_with("HTTP/1.1 200 "));
    }
    drop(busy);
    assert!(server.series::<u32>(LIMIT).unwrap() >= 6);
}

#[test]
fn a_stop_ends_requests_in_order_and_waits_for_no_handshake() {
    let authority = Authority::new("test");
    let mounted = Mounted::new("tls-stop", &authority.issue(2090).files());
    let mut server = start(&authority, &mounted, &[]);
    let mut idle = authority.connect(&server);
    assert!(idle.get("/health").starts_with("HTTP/1.1 200 "));
    let mut busy = authority.connect(&server);
    busy.send("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n{\"text\":");
    let _hanging = TcpStream::connect(&server.address).unwrap();
    thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    server.line("draining");
    assert_eq!(idle.0.read(&mut [0]).unwrap(), 0);
    busy.send("\"a fine day\"}");
    let head = busy.head();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close"), "{head}");
    assert!(server.exit(Duration::from_secs(5)).success());
}

#[test]
fn a_start_with_files_that_can_not_be_used_says_which() {
    let authority = Authority::new("test");
    let (issued, other) = (authority.issue(2090), authority.issue(2090));
    let [certificate, _] = issued.files();
    let mounted = Mounted::new("tls-refused", &[certificate, ("tls.key", &other.key)]);
    let folder = Folder::new("tls-refused-log");
    let log = folder.file("termination-log");
    fs::write(&log, "").unwrap();
    let tls = settings(&mounted);
    let output = command(&[]).env("MLOPS_TERMINATION_LOG", &log).envs(tls).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sentence = fs::read_to_string(&log).unwrap();
    let expected = "InvalidConfig: the file that MLOPS_TLS_KEY_FILE names holds another key than ";
    assert!(sentence.starts_with(expected), "{sentence}");
}
