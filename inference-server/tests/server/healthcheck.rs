//! The health check program, with the predecessor's flags and variables.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use crate::common::{Folder, Server};

fn healthcheck(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_healthcheck"))
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_healthy_server_is_0_and_everything_else_is_1() {
    let server = Server::start(&[]);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let path = ("HEALTHCHECK_PATH", "/api/v1/health");

    let output = healthcheck(&[("HEALTHCHECK_PORT", &port), path], &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let flags = ["--host", "localhost", "--port", &port, "--path", "/api/v1/health", "--timeout", "5", "--verbose"];
    let output = healthcheck(&[], &flags);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("answers 200"));
    assert_eq!(healthcheck(&[("HEALTHCHECK_PORT", "1"), path], &["--port", &port]).status.code(), Some(0));

    // The image sets the path; by itself the program asks the predecessor's, which is there too.
    assert_eq!(healthcheck(&[("HEALTHCHECK_PORT", &port)], &[]).status.code(), Some(0));
    let output = healthcheck(&[("HEALTHCHECK_PORT", &port)], &["--path", "/nothing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nothing answers 404"));

    drop(server);
    assert_eq!(healthcheck(&[("HEALTHCHECK_PORT", &port), path], &[]).status.code(), Some(1));
    assert_eq!(healthcheck(&[], &["--port", "nonsense"]).status.code(), Some(1));
    assert_eq!(healthcheck(&[], &["--help"]).status.code(), Some(0));
    assert_eq!(healthcheck(&[], &["--timeout", "0"]).status.code(), Some(1));
}

#[test]
fn a_server_that_speaks_https_is_asked_so() {
    let folder = Folder::new("healthcheck-tls");
    let made = rcgen::generate_simple_self_signed(["another.example".to_owned()]).unwrap();
    let (certificate, key) = (folder.file("tls.crt"), folder.file("tls.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = [("MLOPS_TLS_CERT_FILE", certificate.to_str().unwrap()), ("MLOPS_TLS_KEY_FILE", key.to_str().unwrap())];
    let server = Server::listening(&tls);
    let port = ("HEALTHCHECK_PORT", server.address.rsplit_once(':').unwrap().1);
    let output = healthcheck(&[port], &["--tls", "--verbose"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("https://localhost:"), "{said}");
    assert_eq!(healthcheck(&[port, ("HEALTHCHECK_TLS", "true")], &[]).status.code(), Some(0));
    assert_eq!(healthcheck(&[port, ("HEALTHCHECK_TLS", "true")], &["--path", "/nothing"]).status.code(), Some(1));
    assert_eq!(healthcheck(&[port, ("HEALTHCHECK_TLS", "false")], &[]).status.code(), Some(1));
    // Where clients need a certificate, which this one has not, the management port is the one to ask.
    let settings = [tls[0], tls[1], ("MLOPS_TLS_CLIENT_CA_FILE", tls[0].1), ("MLOPS_MANAGEMENT_PORT", "0")];
    let server = Server::listening(&settings);
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let [public, management] = [&server.address, &server.management].map(|address| port(address));
    assert_eq!(healthcheck(&[("HEALTHCHECK_PORT", &public)], &["--tls"]).status.code(), Some(1));
    assert_eq!(healthcheck(&[("HEALTHCHECK_PORT", &management)], &[]).status.code(), Some(0));
}

#[test]
fn a_server_that_accepts_and_says_nothing_or_nonsense_is_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = healthcheck(&[("HEALTHCHECK_PORT", &port), ("HEALTHCHECK_HOST", "127.0.0.1")], &["--timeout", "0.2"]);
    assert_eq!(output.status.code(), Some(1));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let nonsense = thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 smtp.example ESMTP\r\n"));
    let output = healthcheck(&[("HEALTHCHECK_PORT", &port), ("HEALTHCHECK_HOST", "127.0.0.1")], &[]);
    assert_eq!(output.status.code(), Some(1));
    // The client may have closed first.
    let _ = nonsense.join().unwrap();
}

#[test]
fn ipv6_works() {
    let Ok(_) = TcpListener::bind("[::1]:0") else {
        eprintln!("no IPv6 on this machine");
        return;
    };
    let server = Server::start(&[("MLOPS_HOST", "::1")]);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    // Without a list of hosts that says so.
    for host in ["::1", "[::1]", "localhost"] {
        let output = healthcheck(&[], &["--host", host, "--port", &port, "--path", "/api/v1/health"]);
        assert_eq!(output.status.code(), Some(0), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn localhost_is_whichever_family_the_server_listens_on() {
    for host in ["127.0.0.1", "localhost", ""] {
        let server = Server::listening(&[("MLOPS_HOST", host)]);
        let port = server.address.rsplit_once(':').unwrap().1.to_owned();
        let output = healthcheck(&[("HEALTHCHECK_PORT", &port)], &[]);
        assert_eq!(output.status.code(), Some(0), "{host:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
