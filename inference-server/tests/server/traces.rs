//! Traces, as a real receiver of OTLP gets them.

mod collector;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use collector::{Collector, Span};

use crate::common::{Folder, Server, json};

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
fn a_ratio_of_nothing_records_nothing_whatever_callers_ask_for() {
    let collector = Collector::start();
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint()), ("MLOPS_TRACING_SAMPLE_RATIO", "0")]);
    for parent in [None, Some(format!("00-{TRACE}-{PARENT}-01"))] {
        let (_, answered) = predict(&server, parent.as_deref(), "a fine day");
        assert_eq!(&answered[52..], "-00");
    }
    stop(server);
    assert_eq!(collector.spans().len(), 0);
}

#[test]
fn below_a_ratio_of_one_a_caller_s_own_traces_are_recorded_as_it_asks() {
    let collector = Collector::start();
    let ratio = ("MLOPS_TRACING_SAMPLE_RATIO", "0.000000001");
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint()), ratio]);
    for index in 0..20 {
        predict(&server, None, &format!("text {index}"));
    }
    predict(&server, Some(&format!("00-{TRACE}-{PARENT}-01")), "asked for");
    stop(server);
    assert!(!collector.spans().is_empty());
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
}

#[test]
fn who_has_no_key_is_not_traced() {
    let collector = Collector::start();
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &collector.endpoint()), ("MLOPS_API_KEY", "s3cret")]);
    let (status, _) = predict(&server, Some(&format!("00-{TRACE}-{PARENT}-01")), "a fine day");
    assert_eq!(status, 401);
    stop(server);
    assert_eq!(collector.spans().len(), 0);
}

#[test]
fn headers_for_the_collector_come_from_a_file_and_follow_it() {
    let folder = Folder::new("otlp-headers");
    let file = folder.file("headers");
    fs::write(&file, "# the collector's token\nauthorization = Bearer one\n").unwrap();
    let collector = Collector::start();
    let server = Server::start(&[
        ("MLOPS_OTLP_ENDPOINT", &collector.endpoint()),
        ("MLOPS_OTLP_HEADERS_FILE", file.to_str().unwrap()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20other,x-tenant=shop"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]);
    predict(&server, None, "one");
    let deadline = Instant::now() + Duration::from_secs(30);
    while collector.spans().is_empty() {
        assert!(Instant::now() < deadline, "no span arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(collector.header("authorization").as_deref(), Some("Bearer one"));
    assert_eq!(collector.header("x-tenant").as_deref(), Some("shop"));
    fs::write(&file, "authorization=Bearer two").unwrap();
    let line = server.line("a secret is renewed");
    assert_eq!(line["variable"], "MLOPS_OTLP_HEADERS_FILE");
    predict(&server, None, "two");
    stop(server);
    assert_eq!(collector.last_header("authorization").as_deref(), Some("Bearer two"));
}

/// What a server of gRPC sends first: the settings of HTTP/2.
fn speak_http_2(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
            let _ = stream.read(&mut [0; 1024]);
        }
    });
}

#[test]
fn a_port_of_grpc_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    speak_http_2(listener);
    let server = Server::start(&[("MLOPS_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    predict(&server, None, "lost");
    let line = server.line("traces can't be sent and are dropped until they can");
    let problem = line["problem"].as_str().unwrap();
    assert!(problem.contains("gRPC") && problem.contains("4318"), "{line}");

    // The one that settings of version 1 name is told from the start; nothing need listen there.
    let server = Server::listening(&[("MLOPS_OTLP_ENDPOINT", "http://127.0.0.1:4317")]);
    let lines = server.lines_until("ready");
    let warned = lines.iter().find(|line| line["level"] == "WARN" && line["endpoint"].is_string()).unwrap();
    assert!(warned["message"].as_str().unwrap().contains("4318"), "{warned}");
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
