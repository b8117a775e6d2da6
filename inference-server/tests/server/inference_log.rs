//! The inference log: every answer of the sample is told, and no receiver of it makes a request wait.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Server, json};

/// What was posted: headers by name, and the body.
type Event = (Vec<(String, String)>, Value);

/// A receiver of events that may hang.
struct Receiver {
    address: String,
    events: Arc<Mutex<Vec<Event>>>,
    hangs: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

impl Receiver {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, hangs, gone) = (Arc::default(), Arc::default(), Arc::default());
        let receiver = Self { address, events, hangs, gone };
        let (events, hangs, gone) =
            (Arc::clone(&receiver.events), Arc::clone(&receiver.hangs), Arc::clone(&receiver.gone));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if gone.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, events, hangs, gone) =
                    (stream.unwrap(), Arc::clone(&events), Arc::clone(&hangs), Arc::clone(&gone));
                thread::spawn(move || while take(&stream, &events, &hangs, &gone).is_some() {});
            }
        });
        receiver
    }

    fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    fn has(&self, count: usize) {
        until(&format!("{count} events"), || self.count() >= count);
    }

    fn die(&self) {
        self.gone.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(&self.address));
    }
}

fn take(mut stream: &TcpStream, events: &Mutex<Vec<Event>>, hangs: &AtomicBool, gone: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
        if let Some((name, value)) = line.trim().split_once(": ") {
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        line.clear();
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if gone.load(Ordering::SeqCst) {
        return None;
    }
    while hangs.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    events.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").ok()
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

fn header<'a>(event: &'a Event, name: &str) -> &'a str {
    &event.0.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{name} is not in {:?}", event.0)).1
}

fn written(server: &Server, outcome: &str) -> u64 {
    server
        .series(&format!("sentiment_inference_log_records_total{{destination=\"http\",outcome=\"{outcome}\"}}"))
        .unwrap()
}

#[test]
fn answers_are_told_as_cloud_events_with_the_ids_that_join_them() {
    let receiver = Receiver::at("127.0.0.1:0");
    let url = format!("http://{}/events", receiver.address);
    let server = Server::start(&[
        ("MLOPS_INFERENCE_LOG_URL", &url),
        ("MLOPS_INFERENCE_LOG_TEXT", "true"),
        ("MLOPS_INFERENCE_LOG_HEADERS", "authorization=Bearer abc"),
        ("MLOPS_INFERENCE_LOG_SERVICE", "reviews"),
        ("MLOPS_INFERENCE_LOG_NAMESPACE", "shop"),
    ]);
    let url = format!("http://{}/api/v1/predict", server.address);
    let asked = server.agent.post(url).header("x-correlation-id", "asked-by-me");
    let mut response = asked.send(json!({ "text": "a wonderful lamp" }).to_string()).unwrap();
    let answer = json(&mut response);
    receiver.has(2);
    let events = receiver.events.lock().unwrap();
    for (event, kind) in events.iter().zip(["request", "response"]) {
        assert_eq!(header(event, "ce-type"), format!("org.kubeflow.serving.inference.{kind}"));
        assert_eq!(header(event, "ce-id"), answer["prediction_id"].as_str().unwrap());
        assert_eq!(header(event, "ce-correlationid"), "asked-by-me");
        assert_eq!((header(event, "ce-inferenceservicename"), header(event, "ce-namespace")), ("reviews", "shop"));
        assert_eq!((header(event, "ce-specversion"), header(event, "authorization")), ("1.0", "Bearer abc"));
    }
    assert_eq!(events[0].1, json!({ "text": "a wonderful lamp", "text_length": 16 }));
    assert_eq!((&events[1].1["label"], &events[1].1["protocol"]), (&answer["label"], &json!("native")));
    assert_eq!(events[1].1.get("text"), None);
}

#[test]
fn a_receiver_that_hangs_dies_and_comes_back_costs_no_request_its_time() {
    let receiver = Receiver::at("127.0.0.1:0");
    let url = format!("http://{}", receiver.address);
    let server = Server::start(&[("MLOPS_INFERENCE_LOG_URL", &url), ("MLOPS_INFERENCE_LOG_CAPACITY", "20")]);
    // From the cache, so that what is slow would be the log.
    server.predict("a lamp");
    receiver.has(1);
    receiver.hangs.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(server.predict("a lamp")["cached"], true);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?} for 200 kept answers", begun.elapsed());
    until("a drop", || written(&server, "dropped") >= 170);
    receiver.hangs.store(false, Ordering::SeqCst);
    until("the rest", || written(&server, "written") >= 21);

    receiver.die();
    for _ in 0..5 {
        server.predict("a lamp");
    }
    let back = Receiver::at(&receiver.address);
    until("what waited", || back.count() >= 5);
    assert_eq!(written(&server, "failed"), 0);
    let lost = written(&server, "dropped") + written(&server, "written");
    assert_eq!(lost, 206, "every answer is counted");
}

#[test]
fn lines_on_standard_output_have_no_text_unless_asked_for_and_the_last_are_written_at_the_end() {
    let server = Server::start(&[("MLOPS_INFERENCE_LOG_STDOUT", "true")]);
    let answer = server.predict("a wonderful lamp");
    let line = server.line_with("event", "inference");
    assert_eq!((&line["prediction_id"], line.get("text")), (&answer["prediction_id"], None));
    assert!(line["correlation_id"].is_string() && line["time"].as_str().unwrap().ends_with('Z'), "{line}");

    let none = Server::start(&[("MLOPS_INFERENCE_LOG_STDOUT", "true"), ("MLOPS_INFERENCE_LOG_SAMPLE_RATIO", "0")]);
    none.predict("a wonderful lamp");
    let series = "sentiment_inference_log_records_total{destination=\"stdout\",outcome=\"written\"}";
    assert_eq!(none.series(series), Some(0_u64));
}
