//! `healthcheck`: asks a health path over HTTP or HTTPS and exits 0 on any 2xx, else 1. For container
//! health checks in an image that has no shell.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Asks a server's health and exits 0 if it is well, else 1.
#[derive(Debug, Parser)]
#[command(version = inference_server::version())]
struct Arguments {
    /// Host to ask.
    #[arg(long, env = "HEALTHCHECK_HOST", default_value = "localhost")]
    host: String,
    /// Port to ask.
    #[arg(long, env = "HEALTHCHECK_PORT", default_value_t = 8000)]
    port: u16,
    /// Path to ask.
    #[arg(long, env = "HEALTHCHECK_PATH", default_value = "/health")]
    path: String,
    /// Seconds to wait for the answer.
    #[arg(long, env = "HEALTHCHECK_TIMEOUT", default_value_t = 5.0)]
    timeout: f64,
    /// Speak HTTPS. Whose certificate it is isn't looked at: the program asks its own container.
    #[arg(long, env = "HEALTHCHECK_TLS")]
    tls: bool,
    /// Say what happens.
    #[arg(long, short)]
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        // Not clap's own code for mistakes: this program promises 0 or 1.
        std::process::exit(i32::from(error.use_stderr()));
    });
    let Arguments { host, port, path, tls, .. } = &arguments;
    let scheme = if *tls { "https" } else { "http" };
    match check(&arguments) {
        Ok(status) if (200..300).contains(&status) => {
            if arguments.verbose {
                println!("{scheme}://{host}:{port}{path} answers {status}");
            }
            ExitCode::SUCCESS
        }
        Ok(status) => {
            eprintln!("{scheme}://{host}:{port}{path} answers {status}");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("{scheme}://{host}:{port}{path}: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The status code of one `GET`.
fn check(arguments: &Arguments) -> Result<u16, String> {
    let Arguments { host, port, path, timeout, tls, verbose } = arguments;
    let timeout = Duration::try_from_secs_f64(*timeout).ok().filter(|timeout| !timeout.is_zero());
    let deadline = Instant::now() + timeout.ok_or("--timeout must be a positive number of seconds")?;
    if !path.starts_with('/') || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err("--path must start with / and hold neither spaces nor control characters".to_owned());
    }
    let addresses = addresses(host, *port).map_err(|error| error.to_string())?;
    let mut problem = "the host has no address".to_owned();
    for (tried, address) in addresses.iter().enumerate() {
        if *verbose {
            println!("asking {address}");
        }
        // An address that swallows what is sent to it leaves time for the others.
        let share = left(deadline)? / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let connected = TcpStream::connect_timeout(address, share).map_err(|error| error.to_string());
        let asked = connected.map(|stream| Hurried { stream, deadline }).and_then(|stream| match tls {
            true => ask(encrypted(stream, *address)?, host, path),
            false => ask(stream, host, path),
        });
        match asked {
            Ok(status) => return Ok(status),
            Err(error) => problem = format!("{address}: {error}"),
        }
    }
    Err(problem)
}

/// Every address of a host. `localhost` is both loopback addresses, whatever the machine's list of hosts
/// says ([RFC 6761, 6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)): a server may listen on
/// the one that the list lacks.
fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // A literal IPv6 address may come in brackets, as in a URL.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    Ok((name, port).to_socket_addrs()?.collect())
}

/// A connection on which nothing is waited for past a moment.
struct Hurried {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Hurried {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline).map_err(io::Error::other)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Hurried {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline).map_err(io::Error::other)?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn ask(mut stream: impl Read + Write, host: &str, path: &str) -> Result<u16, String> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: healthcheck\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    // Only the status line matters: "HTTP/1.1 200".
    let mut line = Vec::new();
    let mut buffer = [0; 64];
    while line.len() < "HTTP/1.1 200".len() {
        match stream.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            count => line.extend_from_slice(&buffer[..count]),
        }
    }
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.get(..3)?.parse().ok());
    status.ok_or_else(|| "the answer is not HTTP".to_owned())
}

/// TLS with whoever answers there.
fn encrypted(stream: Hurried, address: SocketAddr) -> Result<StreamOwned<ClientConnection, Hurried>, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(connection, stream))
}

/// Takes every certificate, of whoever has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
}
