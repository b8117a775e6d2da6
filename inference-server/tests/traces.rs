//! Traces, as a real receiver of OTLP gets them.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod common;

#[path = "traces/collector.rs"]
mod collector;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use collector::{Collector, Span};
use common::{Server, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn predict(server: &Server, parent: Option<&str>, text: &str) -> (u16, String) {
    let mut request = server.agent.post(server.url("/predict"));
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    let response = request.send(serde_json::json!({ "text": text }).to_string()).unwrap();
    (response.status().as_u16(), response.headers()["traceresponse"].to_str().unwrap().to_owned())
}

fn stop(mut server: Server) -> Duration {
    let begun = Instant::now();
    server.signal("INT");
    assert_eq!(server.exit(Duration::from_secs(20)).code(), Some(0));
    begun.elapsed()
}

#[test]
fn a_request_is_a_span_of_its_caller_s_trace_with_its_steps_below() {
    let collector = Collector::start();
    let server = Server::start(&[
        ("MLOPS_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20letmein"),
    ]);
    let (status, answered) = predict(&server, Some(&format!("00-{TRACE}-{PARENT}-01")), "a fine day");
    assert_eq!(status, 200);
    for probe in ["/health", "/ready", "/metrics"] {
        assert_eq!(server.get(probe).status(), 200);
    }
    for probe in ["/health", "/healthz", "/livez", "/ready", "/readyz", "/metrics"] {
        assert_eq!(server.agent.get(format!("http://{}{probe}", server.address)).call().unwrap().status(), 200);
    }
    // Long before the exporter would send it by itself.
    assert!(stop(server) < Duration::from_secs(4));

    let spans = collector.spans();
    let find = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {spans:#?}");
        found[0]
    };
    let request = find("POST /api/v1/predict");
    assert_eq!((request.trace.as_str(), request.parent.as_str(), request.kind), (TRACE, PARENT, "SERVER"));
    assert_eq!(answered, format!("00-{TRACE}-{}-01", request.id));
    assert_eq!(request.attributes["http.response.status_code"], "200");
    assert_eq!(request.attributes["http.route"], "/api/v1/predict");
    let mut before = request.start;
    for step in ["tokenize", "queue", "inference"] {
        let step = find(step);
        assert_eq!((step.trace.as_str(), &step.parent), (TRACE, &request.id));
        assert!(before <= step.start && step.start <= step.end && step.end <= request.end, "{spans:#?}");
        before = step.end;
    }
    assert!(find("inference").end > find("inference").start);
    assert_eq!(find("inference").attributes["sentiment.batch_size"], "1");
    assert_eq!(find("tokenize").attributes["sentiment.tokens"], "5");
    assert_eq!(spans.len(), 4, "{spans:#?}");

    assert_eq!(collector.resource()["service.name"], "sentiment-service");
    assert_eq!(collector.resource()["deployment.environment.name"], "test");
    assert!(collector.resource().contains_key("service.version"));
    assert_eq!(collector.header("authorization").as_deref(), Some("Bearer letmein"));
}

#[test]
fn a_trace_that_is_malformed_or_not_recorded() {
    let collector = Collector::start();
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint())]);
    let (_, fresh) = predict(&server, Some("00-not-a-trace"), "one");
    let (_, unsampled) = predict(&server, Some(&format!("00-{TRACE}-{PARENT}-00")), "two");
    assert_eq!((&unsampled[..36], &unsampled[52..]), (format!("00-{TRACE}-").as_str(), "-00"));
    let mut refused = server.agent.post(server.url("/predict")).send("{}").unwrap();
    assert_eq!(json(&mut refused)["error_code"], "E1001");
    // Its texts have no spans of their own beyond a few.
    let texts: Vec<String> = (0..40).map(|index| format!("text {index}")).collect();
    let batch = server.post("/predict/batch", &serde_json::json!({ "texts": texts }).to_string());
    assert_eq!(batch.status(), 200);
    stop(server);

    let spans = collector.spans();
    let requests: Vec<&Span> = spans.iter().filter(|span| span.kind == "SERVER").collect();
    let seen: Vec<_> =
        requests.iter().map(|span| (span.name.as_str(), &*span.attributes["http.response.status_code"])).collect();
    assert_eq!(
        seen,
        [("POST /api/v1/predict", "200"), ("POST /api/v1/predict", "422"), ("POST /api/v1/predict/batch", "200")]
    );
    assert_eq!((requests[0].parent.as_str(), &fresh[3..35]), ("", requests[0].trace.as_str()));
    assert!(requests.iter().all(|span| span.trace != TRACE), "{requests:#?}");
    let in_batch = spans.iter().filter(|span| span.parent == requests[2].id).count();
    assert_eq!(in_batch, 3 * 16);
}

#[test]
fn a_ratio_of_nothing_records_nothing_but_what_callers_ask_for() {
    let collector = Collector::start();
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint()), ("MLOPS_TRACING_SAMPLE_RATIO", "0")]);
    for index in 0..20 {
        let (_, answered) = predict(&server, None, &format!("text {index}"));
        assert_eq!(&answered[52..], "-00");
    }
    predict(&server, Some(&format!("00-{TRACE}-{PARENT}-01")), "asked for");
    stop(server);
    assert!(!collector.spans().is_empty());
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
}

#[test]
fn the_trace_is_in_the_log_with_no_collector_too() {
    let mut server = Server::start(&[("MLOPS_LOG_LEVEL", "DEBUG")]);
    let (_, answered) = predict(&server, Some(&format!("00-{TRACE}-{PARENT}-01")), "a fine day");
    assert!(answered.starts_with(&format!("00-{TRACE}-")), "{answered}");
    server.signal("INT");
    server.exit(Duration::from_secs(5));
    let lines = server.lines_to_the_end();
    assert!(lines.iter().any(|line| line["span"]["trace_id"] == TRACE), "{lines:?}");
}

#[test]
fn a_collector_that_is_down_or_hangs_costs_one_line_and_no_request() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Connections are accepted by the kernel, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let endpoint = format!("http://{address}");
        let mut server = Server::start(&[
            ("MLOPS_OTLP_ENDPOINT", &endpoint),
            // A queue that is soon full, and many tries.
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        for _ in 0..100 {
            let begun = Instant::now();
            assert_eq!(predict(&server, None, "a fine day").0, 200);
            assert!(begun.elapsed() < Duration::from_secs(1));
        }
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        server.signal("INT");
        assert_eq!(server.exit(Duration::from_secs(20)).code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?} to stop", begun.elapsed());
        let lines = server.lines_to_the_end();
        let problem = "traces can't be sent and are dropped until they can";
        let said = lines.iter().filter(|line| line["message"] == problem).count();
        assert!(said <= 1, "{lines:?}");
        // The one that hangs isn't given up on within this time.
        assert!(said == 1 || address != closed, "{lines:?}");
    }
}

#[test]
fn a_collector_that_comes_back_is_used_again() {
    let collector = Collector::start();
    collector.refuse(true);
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    predict(&server, None, "lost");
    let line = server.line("traces can't be sent and are dropped until they can");
    assert!(line["problem"].as_str().unwrap().contains("403"), "{line}");
    collector.refuse(false);
    predict(&server, None, "kept");
    server.line("traces are sent again");
    stop(server);
    assert!(collector.spans().iter().any(|span| span.name == "POST /api/v1/predict"));
}
