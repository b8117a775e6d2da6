//! A receiver of OTLP over HTTP that keeps what it gets.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;
use tokio::runtime::Runtime;

/// A span, with ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub kind: &'static str,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Received {
    requests: Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>,
    refusing: AtomicBool,
}

/// Receives until dropped.
pub struct Collector {
    received: Arc<Received>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Collector {
    pub fn start() -> Self {
        let received = Arc::new(Received::default());
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&received));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, router).await });
        Self { received, address, _runtime: runtime }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn refuse(&self, refuse: bool) {
        self.received.refusing.store(refuse, Ordering::Relaxed);
    }

    /// Every span, in the order in which they came.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.received.requests.lock().unwrap();
        let scopes = requests.iter().flat_map(|(_, request)| &request.resource_spans).flat_map(|all| &all.scope_spans);
        scopes
            .flat_map(|scope| &scope.spans)
            .map(|span| Span {
                name: span.name.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind().as_str_name().trim_start_matches(SPAN_KIND),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
            })
            .collect()
    }

    pub fn resource(&self) -> BTreeMap<String, String> {
        let requests = self.received.requests.lock().unwrap();
        attributes(&requests[0].1.resource_spans[0].resource.as_ref().unwrap().attributes)
    }

    pub fn last_header(&self, name: &str) -> Option<String> {
        let requests = self.received.requests.lock().unwrap();
        Some(requests.last()?.0.get(name)?.to_str().unwrap().to_owned())
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let requests = self.received.requests.lock().unwrap();
        Some(requests[0].0.get(name)?.to_str().unwrap().to_owned())
    }
}

const SPAN_KIND: &str = "SPAN_KIND_";

async fn receive(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    if received.refusing.load(Ordering::Relaxed) {
        return (StatusCode::FORBIDDEN, Vec::new());
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    received.requests.lock().unwrap().push((headers, request));
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| {
            let value = match pair.value.as_ref().and_then(|value| value.value.clone()) {
                Some(Value::StringValue(text)) => text,
                Some(Value::IntValue(number)) => number.to_string(),
                other => format!("{other:?}"),
            };
            (pair.key.clone(), value)
        })
        .collect()
}
