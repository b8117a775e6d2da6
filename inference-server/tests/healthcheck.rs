//! The health check program, with the predecessor's flags and variables.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

use std::{
    io::Write,
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use common::Server;

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
