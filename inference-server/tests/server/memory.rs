//! What reading a body costs: three times its bytes at most, whatever its shape and route.

use std::{fs, io::Write, iter};

use flate2::{Compression, write::GzEncoder};

use crate::{
    abuse::client::{Client, Reply, still_well},
    common::Server,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What a request may take whatever its body: the connection's buffer, a thread's stack and heap, a decoder's
/// tables, a thousand problems and the answer that names them.
const ALLOWANCE: usize = 4 * MIB;

/// A route, the bytes that it takes, and what stands around the value that matters.
struct Route {
    path: &'static str,
    most: usize,
    before: &'static str,
    after: &'static str,
}

const BEFORE_DATA: &str = r#"{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":"#;
const BEFORE_COMMENTS: &str =
    r#"{"prediction_id":"96d7c911-f640-44b3-82f4-0ad05a41a878","corrected_label":"POSITIVE","comments":"#;

const PREDICT: Route = Route { path: "/api/v1/predict", most: 128 * KIB, before: r#"{"text":"#, after: "}" };
const EXPLAIN: Route = Route { path: "/api/v1/explain", ..PREDICT };
const FEEDBACK: Route = Route { path: "/api/v1/feedback", most: 256 * KIB, before: BEFORE_COMMENTS, after: "}" };
const BATCH: Route = Route { path: "/api/v1/predict/batch", most: 6 * MIB, before: r#"{"texts":"#, after: "}" };
const JOB: Route = Route { path: "/api/v1/batch/predict", ..BATCH };
const INFER: Route = Route { path: "/v2/models/default/infer", most: 6 * MIB, before: BEFORE_DATA, after: "}]}" };

const KSERVE: Route =
    Route { path: "/v1/models/default:predict", most: 6 * MIB, before: r#"{"instances":"#, after: "}" };
const TEI: Route = Route { path: "/predict", most: 6 * MIB, before: r#"{"inputs":"#, after: "}" };
const VLLM: Route = Route { path: "/classify", most: 6 * MIB, before: r#"{"input":"#, after: "}" };

/// A server, and the most that it may come to hold.
struct Measured {
    server: Server,
    resident: usize,
}

impl Measured {
    /// What an earlier body has left behind counts against a later one, so it can't hide that one's.
    fn start(route: &Route) -> Self {
        // Texts are measured as they are read, and not as they are run.
        let server = Server::start(&[("MLOPS_MAX_TEXT_LENGTH", "512"), ("MLOPS_MAX_REQUEST_TIMEOUT", "300")]);
        still_well(&server);
        let text = if route.before.ends_with("data\":") || route.most == 6 * MIB { "[\"a\"]" } else { "\"a\"" };
        Client::of(&server).post(route.path, format!("{}{text}{}", route.before, route.after).as_bytes());
        let resident = memory(&server, "VmRSS");
        Self { server, resident }
    }

    /// Sends a body and looks at what it took, `read` being the bytes of JSON that there are to read.
    fn send(&self, name: &str, route: &Route, lines: &str, body: &[u8], read: usize) -> Reply {
        fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").unwrap();
        let reply = Client::of(&self.server).post_with(route.path, lines, body);
        self.check(name, route, &reply, read, ALLOWANCE);
        reply
    }

    fn check(&self, name: &str, route: &Route, reply: &Reply, read: usize, allowance: usize) {
        let grown = memory(&self.server, "VmHWM").saturating_sub(self.resident);
        let times = grown * 10 / read.max(1);
        println!("{} {name}: {} KiB, {}.{} times {} bytes", route.path, grown / KIB, times / 10, times % 10, read);
        assert!([200, 201, 400, 413, 415, 422].contains(&reply.status), "{name}: {reply:?}");
        assert!(grown <= 3 * read + allowance, "{name} on {} took {grown} bytes for {read}", route.path);
    }
}

/// A line of the process's status, in bytes.
fn memory(server: &Server, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * KIB
}

/// A list of as many elements as fit.
fn list(element: &str, most: usize) -> String {
    format!("[{}{element}]", format!("{element},").repeat((most - 2) / (element.len() + 1) - 1))
}

/// What costs most to those who build what they read.
fn values(most: usize) -> Vec<(&'static str, String)> {
    let wide = iter::once("{\"0\":0".to_owned()).chain((1..50).map(|number| format!(",\"{number}\":0")));
    let wide = wide.collect::<String>() + "}";
    let deep = format!("{}0{}", "{\"\":".repeat(120), "}".repeat(120));
    let lists = list("\"a\"", 4000);
    let quoted = |text: &str| format!("\"{}\"", text.repeat((most - 2) / text.len()));
    vec![
        ("wide objects", list(&wide, most)),
        ("deep objects", list(&deep, most)),
        ("deep lists", "[".repeat(most / 2) + &"]".repeat(most / 2)),
        ("endless lists", "[".repeat(most)),
        ("numbers", list("0", most)),
        ("empty lists", list("[]", most)),
        ("empty texts", list("\"\"", most)),
        ("escapes", list(&format!("\"{}\"", "\\ud83d\\ude00".repeat(800)), most)),
        ("a long number", "9".repeat(most)),
        ("a long number in a list", format!("[{}]", "9".repeat(most - 2))),
        ("a long text", quoted("\\n\u{e9}")),
        ("a long text in a list", format!("[\"{}\"]", "\\ud83d\\ude00".repeat((most - 4) / 12))),
        ("a text in white space", format!("[\"{}a\"]", "\\n".repeat((most - 5) / 2))),
        ("unknown keys", format!("[\"a\"]{}", ",\"k\":0".repeat((most - 5) / 6))),
        ("a long key", format!("[\"a\"],{}:0", quoted("\\u006b").replacen("\\u006b", "", 3))),
        ("lists again and again", format!("{lists}{}", format!(",\"texts\":{lists}").repeat((most - 4000) / 4009))),
    ]
}

fn hostile_shapes(route: &Route) {
    let measured = Measured::start(route);
    let room = route.most - route.before.len() - route.after.len();
    for (name, value) in values(room) {
        let body = format!("{}{value}{}", route.before, route.after);
        assert!(body.len() <= route.most, "{name} has {} bytes", body.len());
        measured.send(name, route, "", body.as_bytes(), body.len());
    }
    still_well(&measured.server);
}

#[test]
fn one_text() {
    hostile_shapes(&PREDICT);
}

#[test]
fn an_explanation() {
    hostile_shapes(&EXPLAIN);
}

#[test]
fn a_feedback() {
    hostile_shapes(&FEEDBACK);
}

#[test]
fn a_batch() {
    hostile_shapes(&BATCH);
}

#[test]
fn a_batch_job() {
    hostile_shapes(&JOB);
}

#[test]
fn the_open_inference_protocol() {
    hostile_shapes(&INFER);
}

#[test]
fn kserves_version_1() {
    hostile_shapes(&KSERVE);
}

#[test]
fn text_embeddings_inference() {
    hostile_shapes(&TEI);
}

#[test]
fn vllm() {
    hostile_shapes(&VLLM);
}

/// A frame of zstd: so many blocks of one byte repeated 128 Ki times.
fn zstd(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x68];
    for block in 1..=blocks {
        let header = u32::from(block == blocks) | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

/// 64 MiB of spaces as Python's brotli packs them.
const BROTLI: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12f0110870500baf77ffcff\
ff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffe3ffff1ffc1200715800a07bff37";

fn gzip(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn compressed_bodies_and_bombs() {
    for route in [PREDICT, BATCH, INFER] {
        let measured = Measured::start(&route);
        let room = route.most - route.before.len() - route.after.len();
        // Not compressed at all: there is nothing to gain from the bytes that came.
        for (name, value) in values(room).into_iter().step_by(3) {
            let body = gzip(format!("{}{value}{}", route.before, route.after).as_bytes(), Compression::none());
            let kept = body.len().min(route.most);
            measured.send(name, &route, "content-encoding: gzip\r\n", &body[..kept], route.most);
        }
        let blocks = u32::try_from(route.most / (128 * KIB)).unwrap();
        let full = measured.send("zstd", &route, "content-encoding: zstd\r\n", &zstd(blocks), route.most);
        assert!([400, 422].contains(&full.status), "{full:?}");
        let bomb = gzip(&vec![b' '; 8 * MIB], Compression::fast());
        let twice = gzip(&bomb, Compression::fast());
        for (name, coding, body) in [
            ("a bomb of zstd", "zstd", zstd(512)),
            ("a bomb of br", "br", hex(BROTLI)),
            ("a bomb of gzip", "gzip", bomb),
            ("a bomb in a bomb", "gzip, gzip", twice),
        ] {
            let reply = measured.send(name, &route, &format!("content-encoding: {coding}\r\n"), &body, route.most);
            assert_eq!(reply.status, 413, "{name}: {reply:?}");
        }
        still_well(&measured.server);
    }
}

#[test]
fn other_characters() {
    let measured = Measured::start(&BATCH);
    // Two bytes of UTF-16 are three of UTF-8.
    for text in [format!("{{\"texts\":[\"{}\"]}}", "日本".repeat(1_500_000)), list("\"日本語\"", 3 * MIB)] {
        let body: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        measured.send("UTF-16", &BATCH, "", &body, body.len());
    }
    still_well(&measured.server);
}

#[test]
fn bytes_that_come_one_by_one() {
    let measured = Measured::start(&BATCH);
    fs::write(format!("/proc/{}/clear_refs", measured.server.id()), "5").unwrap();
    let mut client = Client::of(&measured.server);
    client.send("POST /api/v1/predict/batch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let length = 64 * KIB;
    client.send(&("1\r\n \r\n".repeat(length) + "0\r\n\r\n"));
    // A part that is kept takes 32 bytes, and with the list of them three times as many.
    measured.check("parts of one byte", &BATCH, &client.reply(), length, MIB);
    still_well(&measured.server);
}
