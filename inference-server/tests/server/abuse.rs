//! What hostile and broken clients do: each is refused in words, and the next good request is served.

pub mod client;

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use client::{Client, Reply, resident_mib, still_well};
use serde_json::json;

use crate::common::Server;

const MIB: usize = 1 << 20;

fn assert_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["error_code"].as_str()), (status, Some(code)), "{reply:?}");
}

#[test]
fn characters_are_read_as_version_1_read_them_and_others_are_refused_by_name() {
    let server = Server::start(&[]);
    let json = r#"{"text":"I love this café"}"#;
    let utf16 = |unit: fn(u16) -> [u8; 2]| format!("\u{feff}{json}").encode_utf16().flat_map(unit).collect::<Vec<_>>();
    for body in [format!("\u{feff}{json}").into_bytes(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
        let reply = Client::of(&server).post("/api/v1/predict", &body);
        assert_eq!((reply.status, &reply.json()["text_length"]), (200, &json!(16)), "{reply:?}");
    }
    for (body, said) in [
        (
            &b"{\"text\":\"caf\xe9\"}"[..],
            "the body is not UTF-8: byte 0xe9 at position 12; UTF-8, UTF-16 and UTF-32 are read",
        ),
        (b"{\"text\":\"\xc3\x28\"}", "the body is not UTF-8: byte 0xc3 at position 9; "),
        (b"{\"\xf0\x9f\":1}", "the body is not UTF-8: byte 0xf0 at position 2; "),
        (b"\xff\xfe\xfd", "the body is not UTF-16: half a character at position 2; "),
    ] {
        let reply = Client::of(&server).post("/api/v1/predict", body);
        assert_refused(&reply, 400, "E1006");
        assert!(reply.json()["detail"].as_str().unwrap().starts_with(said), "{reply:?}");
        let reply = Client::of(&server).post("/v2/models/default/infer", body);
        assert_eq!((reply.status, reply.json()["error"].as_str().unwrap().starts_with(said)), (400, true), "{reply:?}");
    }
    let latin = "content-type: application/json; charset=iso-8859-1\r\n";
    let reply = Client::of(&server).post_with("/api/v1/predict", latin, b"{\"text\":\"caf\xe9\"}");
    assert_refused(&reply, 415, "E1012");
    still_well(&server);
}

#[test]
fn compressed_bodies_are_read_and_what_is_broken_or_unknown_is_refused_by_name() {
    let server = Server::start(&[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(r#"{"text":"I love this café"}"#.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let gzip = "content-encoding: gzip\r\n";
    let reply = Client::of(&server).post_with("/api/v1/predict", gzip, &packed);
    assert_eq!((reply.status, &reply.json()["label"]), (200, &json!("POSITIVE")), "{reply:?}");
    let reply = Client::of(&server).post_with("/api/v1/predict", gzip, &packed[..20]);
    assert_refused(&reply, 400, "E1006");
    assert_eq!(reply.json()["detail"], "the body is not gzip: it ends too early");
    let reply = Client::of(&server).post_with("/api/v1/predict", "content-encoding: compress\r\n", &packed);
    assert_refused(&reply, 415, "E1011");
    assert_eq!(reply.header("accept-encoding"), Some("gzip, deflate, br, zstd"));
    assert_eq!(reply.json()["detail"], "the content encoding \"compress\" isn't read; gzip, deflate, br, zstd are");
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    assert_refused(&Client::of(&server).post_with("/api/v1/predict", form, b"text=a+fine+day"), 415, "E1012");
    let reply = Client::of(&server).post_with("/api/v1/predict", form, br#"{"text":"a fine day"}"#);
    assert_eq!(reply.status, 200, "curl sends JSON so: {reply:?}");
    still_well(&server);
}

#[test]
fn an_error_repeats_no_more_than_the_start_of_what_was_sent() {
    let server = Server::start(&[]);
    let long = "x".repeat(60_000);
    let input = json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"] });
    let with = |field: &str, value: &serde_json::Value| {
        let mut input = input.clone();
        input[field] = value.clone();
        json!({ "inputs": [input] })
    };
    let infer = "/v2/models/default/infer";
    for (path, body) in [
        ("/api/v1/predict", json!({ "text": [long] })),
        ("/api/v1/predict", json!(long)),
        ("/api/v1/explain", json!({ "text": "a", "prediction": long })),
        ("/api/v1/feedback", json!({ "prediction_id": long, "corrected_label": long })),
        ("/api/v1/batch/predict", json!({ "texts": ["a"], "priority": long, "max_batch_size": long })),
        (infer, json!(long)),
        (infer, json!({ "inputs": long })),
        (infer, json!({ "id": long, "inputs": [input] })),
        (infer, json!({ "inputs": [input], "outputs": [{ "name": long }] })),
        (infer, json!({ "inputs": [input], "outputs": vec![json!({ "name": "label" }); 2000] })),
        (infer, json!({ "inputs": [{ "name": long, "shape": [1], "datatype": long, "data": ["a"] }] })),
        ("/v1/models/default:predict", json!({ "instances": [{ "text": [long] }] })),
        ("/predict", json!({ "inputs": "a", "parameters": { "function_to_apply": long } })),
        ("/classify", json!({ "input": "a", "model": long })),
        (infer, with("datatype", &json!(long))),
        (infer, with("shape", &json!(vec![1; 20_000]))),
        (infer, with("shape", &json!(long))),
        (&format!("/v2/models/{}/infer", &long[..9000]), json!({})),
        ("/v2/models/%ff/infer", json!({})),
    ] {
        let reply = Client::of(&server).post(path, body.to_string().as_bytes());
        assert!((400..500).contains(&reply.status), "{reply:?}");
        let said = reply.json().to_string();
        assert!(said.len() < 1000, "{} bytes of error from {path}", said.len());
    }
    still_well(&server);
}

#[test]
fn a_hundred_megabytes_are_refused_and_the_refusal_arrives() {
    let server = Server::start(&[]);
    still_well(&server);
    let before = resident_mib(&server);
    for (path, head) in [
        ("/api/v1/predict", format!("content-length: {}", 100 * MIB)),
        ("/api/v1/predict", "transfer-encoding: chunked".to_owned()),
        ("/api/v1/predict/batch", format!("content-length: {}", 100 * MIB)),
    ] {
        let mut client = Client::of(&server);
        client.send(&format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n"));
        let part = if head.contains("chunked") {
            [&b"100000\r\n"[..], &vec![b'a'; MIB], b"\r\n"].concat()
        } else {
            vec![b'a'; MIB]
        };
        // The server may close its end before everything is sent.
        let sent = (0..100).take_while(|_| client.stream.write_all(&part).is_ok()).count();
        let reply = client.reply();
        assert_refused(&reply, 413, "E1005");
        assert_eq!(reply.header("connection"), Some("close"), "after {sent} MiB of {path}");
    }
    still_well(&server);
    let grown = resident_mib(&server) - before;
    assert!(grown < 24.0, "the server has grown by {grown} MiB");
}

#[test]
fn texts_of_every_length_and_of_nothing_visible() {
    let server = Server::start(&[("MLOPS_MAX_TEXT_LENGTH", "10000")]);
    let predict =
        |text: &str| Client::of(&server).post("/api/v1/predict", json!({ "text": text }).to_string().as_bytes());
    assert_eq!(predict(&"good ".repeat(2000)).status, 200);
    assert_eq!(predict(&"g".repeat(10_000)).status, 200);
    assert_eq!(predict(&"😀".repeat(10_000)).status, 200);
    assert_eq!(predict(&"e\u{301}".repeat(5_000)).status, 200);
    assert_refused(&predict(&"g".repeat(10_001)), 422, "E1001");
    for invisible in ["\u{200b}", "\u{200b}\u{200d}\u{feff}", &"\u{2060}".repeat(10_000), "\u{0}", "\u{ad}\u{ad}"] {
        assert_refused(&predict(invisible), 400, "E1004");
    }
    assert_refused(&predict("\u{2003}\u{3000}"), 422, "E1001");
    assert_eq!(predict("go\u{200b}od").status, 200);
    still_well(&server);
}

#[test]
fn deep_and_endless_json_is_refused() {
    let server = Server::start(&[]);
    let deep = |open: &str, close: &str, times: usize| {
        format!("{{\"text\":{}1{}}}", open.repeat(times), close.repeat(times)).into_bytes()
    };
    for body in [deep("[", "]", 60_000), deep("{\"a\":", "}", 20_000), deep("[", "", 100_000)] {
        assert_refused(&Client::of(&server).post("/api/v1/predict", &body), 422, "E1001");
        assert_refused(&Client::of(&server).post("/api/v1/predict/batch", &body), 422, "E1001");
        assert_eq!(Client::of(&server).post("/v2/models/default/infer", &body).status, 400);
    }
    still_well(&server);
}

#[test]
fn heads_that_are_too_large_or_no_http_are_refused() {
    let server = Server::start(&[]);
    for (head, status) in [
        (format!("GET /api/v1/health HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(MIB)), 431),
        (format!("GET /api/v1/health HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(1000)), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MIB)), 431),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned(), 400),
        ("POST /api/v1/predict HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!".to_owned(), 400),
        ("POST /api/v1/predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = Client::of(&server);
        client.send(&head);
        assert_eq!(client.reply().status, status, "{}", &head[..head.len().min(60)]);
    }
    let mut client = Client::of(&server);
    let id = "a".repeat(129);
    client.send(&format!("GET /api/v1/health HTTP/1.1\r\nhost: x\r\nx-correlation-id: {id}\r\n\r\n"));
    let echoed = client.reply();
    assert_eq!(echoed.header("x-correlation-id").map(str::len), Some(36), "a long id is replaced: {echoed:?}");
    still_well(&server);
}

#[test]
fn five_thousand_idle_connections_keep_nobody_out() {
    // Opening and asking them takes a while on a busy machine.
    let server = Server::start(&[("MLOPS_HEADER_TIMEOUT", "120")]);
    still_well(&server);
    let before = resident_mib(&server);
    let files = usize::try_from(inference_server::startup::open_files()).unwrap_or(usize::MAX);
    let count = 5000.min(files.saturating_sub(500));
    assert!(count > 500, "the limit of {files} open files leaves nothing to test with");
    let mut idle: Vec<Client> = (0..count).map(|_| Client::of(&server)).collect();
    // Half of them have had an answer and are kept alive.
    for client in idle.iter_mut().step_by(2) {
        client.send("GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
    let begun = Instant::now();
    still_well(&server);
    assert!(begun.elapsed() < Duration::from_secs(1), "the request took {:?}", begun.elapsed());
    let each = (resident_mib(&server) - before) * 1024.0 / f64::from(u32::try_from(count).unwrap());
    println!("{count} connections of {each:.1} KiB each");
    assert!(each < 24.0, "an idle connection takes {each} KiB");
}

#[test]
fn idle_connections_make_place_for_one_with_a_request() {
    let server = Server::start(&[("MLOPS_MAX_CONNECTIONS", "20")]);
    let mut idle: Vec<Client> = (0..20).map(|_| Client::of(&server)).collect();
    for client in &mut idle {
        client.send("GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
    for _ in 0..5 {
        let reply = Client::of(&server).post("/api/v1/predict", br#"{"text":"a fine day"}"#);
        assert_eq!(reply.status, 200);
    }
    assert!(idle[0].is_closed_by_server(), "the one that was idle for longest is still open");
}

#[test]
fn when_all_connections_are_busy_one_more_is_refused_and_probes_get_through() {
    let server = Server::start(&[("MLOPS_MAX_CONNECTIONS", "4")]);
    let mut busy: Vec<Client> = (0..4).map(|_| Client::of(&server)).collect();
    for client in &mut busy {
        client.send("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n{\"text\":");
    }
    // They are in the middle of a request by then.
    thread::sleep(Duration::from_millis(300));
    let reply = Client::of(&server).post("/api/v1/predict", br#"{"text":"a fine day"}"#);
    assert_refused(&reply, 503, "E4003");
    assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("1"), Some("close")));
    for path in ["/api/v1/health", "/api/v1/ready", "/api/v1/metrics", "/v2/health/live"] {
        let mut probe = Client::of(&server);
        probe.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert_eq!(probe.reply().status, 200, "{path}");
    }
    for client in &mut busy {
        client.send("\"a fine day\"}");
        assert_eq!(client.reply().status, 200);
    }
    still_well(&server);
    assert_eq!(
        server.series(r#"sentiment_connections_refused_total{reason="limit"}"#),
        Some(5),
        "one refused and four probes"
    );
}

#[test]
fn the_management_port_is_answered_while_all_connections_are_taken() {
    let server = Server::start(&[("MLOPS_MAX_CONNECTIONS", "2"), ("MLOPS_MANAGEMENT_PORT", "0")]);
    // The limit, and those beyond it.
    let mut busy: Vec<Client> = (0..2 + 256).map(|_| Client::of(&server)).collect();
    for client in &mut busy {
        client.send("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 21\r\n\r\n{\"text\":");
    }
    for path in ["/api/v1/health", "/api/v1/ready", "/metrics", "/api/v1/health/details", "/v2/health/live"] {
        for _ in 0..100 {
            let mut probe = Client::to(&server.management);
            probe.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
            assert_eq!(probe.reply().status, 200, "{path}");
        }
    }
    drop(busy);
}

#[test]
fn slow_heads_and_bodies_are_cut_off() {
    let server = Server::start(&[
        ("MLOPS_HEADER_TIMEOUT", "1"),
        ("MLOPS_BODY_TIMEOUT", "1"),
        ("MLOPS_MAX_REQUEST_TIMEOUT", "2"),
    ]);
    let drip = |head: &'static str, within: u64| {
        let mut client = Client::of(&server);
        let begun = Instant::now();
        client.send(head);
        // Never longer than half a second between two bytes.
        for _ in 0..20 {
            if client.stream.write_all(b"a").is_err() || client.has_reply_within(Duration::from_millis(450)) {
                break;
            }
        }
        assert_refused(&client.reply(), 408, "E1010");
        let took = begun.elapsed().as_secs_f64();
        let least = f64::from(u32::try_from(within).unwrap());
        assert!((least - 0.1..least + 1.0).contains(&took), "{head:?} was cut off after {took} s");
    };
    drip("GET /api/v1/health HTTP/1.1\r\nx: ", 1);
    drip("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n", 2);
    let mut stalled = Client::of(&server);
    stalled.send("POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    assert_refused(&stalled.reply(), 408, "E1010");
    still_well(&server);
    assert_eq!(server.series(r#"sentiment_connections_refused_total{reason="head_timeout"}"#), Some(1));
    assert_eq!(server.series(r#"sentiment_connections_refused_total{reason="limit"}"#), Some(0));
}

/// The time for its head begins when the response has been sent.
#[test]
fn a_byte_behind_a_request_whose_responses_are_taken_slowly_is_refused_behind_them() {
    let server = Server::start(&[("MLOPS_HEADER_TIMEOUT", "1")]);
    let document = {
        let mut client = Client::of(&server);
        client.send("GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n");
        client.reply().body
    };
    // Far more than the kernel's buffers take while nobody reads.
    let count = 100;
    let mut slow = Client::of(&server);
    slow.send(&"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(count));
    slow.send("G");
    // Longer than a head may take.
    thread::sleep(Duration::from_millis(2500));
    for number in 0..count {
        let reply = slow.reply();
        assert_eq!(reply.status, 200, "response {number}");
        assert!(reply.body == document, "response {number} is another");
    }
    assert_refused(&slow.reply(), 408, "E1010");
    assert!(slow.is_closed_by_server());
    still_well(&server);
}

#[test]
fn a_connection_is_kept_for_the_next_request_but_not_for_good() {
    let server = Server::start(&[("MLOPS_KEEP_ALIVE_TIMEOUT", "1")]);
    let mut client = Client::of(&server);
    for _ in 0..3 {
        client.send("GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(client.reply().status, 200);
        thread::sleep(Duration::from_millis(500));
    }
    let begun = Instant::now();
    assert!(client.is_closed_by_server());
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let server = Server::start(&[("MLOPS_WRITE_TIMEOUT", "1")]);
    let mut deaf = Client::of(&server);
    // More than the kernel's buffers on both sides take.
    let requests = "GET /api/v1/metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200);
    deaf.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let sent = (0..50).take_while(|_| deaf.stream.write_all(requests.as_bytes()).is_ok()).count();
    let deadline = Instant::now() + Duration::from_secs(20);
    // One is that of who asks.
    while server.series::<u32>("sentiment_open_connections").unwrap() > 1 {
        assert!(Instant::now() < deadline, "its connection is still open after {} requests", sent * 200);
        thread::sleep(Duration::from_millis(100));
    }
    still_well(&server);
}

#[test]
fn many_large_bodies_at_once_fill_no_more_than_their_share_of_memory() {
    let server = Server::start(&[]);
    still_well(&server);
    let before = resident_mib(&server);
    let almost = vec![b' '; 5 * MIB];
    let mut senders: Vec<Client> = (0..20).map(|_| Client::of(&server)).collect();
    for client in &mut senders {
        let length = almost.len() + 1;
        client.send(&format!("POST /api/v1/predict/batch HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"));
        // One that is refused may be closed before all is sent.
        let _ = client.stream.write_all(&almost);
    }
    let refused = senders
        .iter_mut()
        .map(|client| client.has_reply_within(Duration::from_millis(20)))
        .filter(|said| *said)
        .count();
    assert!((7..=9).contains(&refused), "{refused} of 20 were refused");
    let grown = resident_mib(&server) - before;
    assert!(grown < 110.0, "the server has grown by {grown} MiB");
    for mut client in senders {
        if client.has_reply_within(Duration::from_millis(1)) {
            assert_refused(&client.reply(), 503, "E4003");
        }
    }
    // Clients that have gone give their memory back.
    thread::sleep(Duration::from_millis(200));
    let texts = json!({ "texts": vec!["a fine day"; 1000] }).to_string();
    assert_eq!(Client::of(&server).post("/api/v1/predict/batch", texts.as_bytes()).status, 200);
}
