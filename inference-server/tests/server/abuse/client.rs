//! A client that sends any bytes at all.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use inference_server::process::usage_of;
use serde_json::Value;

use crate::common::Server;

/// Longer than anything sound takes here.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    pub stream: TcpStream,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn of(server: &Server) -> Self {
        Self::to(&server.address)
    }

    pub fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub fn send(&mut self, text: &str) {
        // A server that has refused already may have closed: its reply says so.
        let _ = self.stream.write_all(text.as_bytes());
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.post_with(path, "", body)
    }

    /// With more lines of the head, each with its end.
    pub fn post_with(&mut self, path: &str, lines: &str, body: &[u8]) -> Reply {
        self.send(&format!("POST {path} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {}\r\n\r\n", body.len()));
        let _ = self.stream.write_all(body);
        self.reply()
    }

    /// The next response on the connection.
    pub fn reply(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = self.stream.read(&mut byte).unwrap();
            assert_eq!(read, 1, "closed after {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        reply.body.resize(length, 0);
        self.stream.read_exact(&mut reply.body).unwrap();
        reply
    }

    pub fn has_reply_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let seen = self.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        seen
    }

    /// Waits for the end of the connection, with nothing more said.
    pub fn is_closed_by_server(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The server answers a good request on a new connection.
pub fn still_well(server: &Server) {
    let reply = Client::of(server).post("/api/v1/predict", br#"{"text":"I love this product"}"#);
    assert_eq!((reply.status, &reply.json()["label"]), (200, &"POSITIVE".into()));
}

pub fn resident_mib(server: &Server) -> f64 {
    let bytes = usage_of(&server.id()).unwrap().resident_bytes;
    f64::from(u32::try_from(bytes >> 10).unwrap()) / 1024.0
}
