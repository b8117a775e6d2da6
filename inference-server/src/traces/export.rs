//! Sends spans to a collector in batches, from a thread of its own.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanProcessor},
};
use ureq::Agent;

use crate::{
    config::TracingConfig,
    outgoing::{self, AuthoritiesError},
    secrets::{Headers, Live, masked_sentence},
    version,
};

/// Longest wait for the collector's answer; what OTLP itself proposes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer that is read.
const MOST_BYTES: u64 = 1024 * 1024;

/// Name of the service where neither `OTEL_SERVICE_NAME` nor `OTEL_RESOURCE_ATTRIBUTES` has one.
const SERVICE: &str = "sentiment-service";

/// Said of an endpoint as settings of version 1 have it.
const GRPC_PORT_SENTENCE: &str = "4317 is by default a collector's port for gRPC, which this server doesn't speak; its port for \
    OTLP over HTTP is by default 4318";

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The file of authorities can't be used.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// One of the exporter's own variables is wrong.
    #[error("the exporter of traces can't be set up: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// The way to the collector. It never makes a request wait: when its queue is full, spans are dropped.
pub struct Traces {
    processor: BatchSpanProcessor,
    sample_ratio: f64,
    pub(super) scope: InstrumentationScope,
}

impl Traces {
    /// Starts the thread that exports.
    pub fn start(config: &TracingConfig) -> Result<Self, TracesError> {
        if config.is_grpc_port() {
            tracing::warn!(endpoint = config.endpoint, "{GRPC_PORT_SENTENCE}");
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(config)?)
            .with_endpoint(&config.endpoint)
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource());
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(version()).build();
        Ok(Self { processor, sample_ratio: config.sample_ratio, scope })
    }

    /// Whether any trace is recorded: callers can't turn on what the settings turn off.
    #[must_use]
    pub fn records(&self) -> bool {
        self.sample_ratio > 0.0
    }

    /// Whether a trace that begins here is recorded.
    #[must_use]
    pub fn sample(&self) -> bool {
        fastrand::f64() < self.sample_ratio
    }

    pub(super) fn export(&self, span: SpanData) {
        self.processor.on_end(span);
    }

    /// Sends what is left, and waits for that no longer than this.
    pub fn finish(&self, within: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(within) {
            tracing::warn!(%error, "the last traces may be lost");
        }
    }
}

fn resource() -> Resource {
    let with_version = || Resource::builder().with_attribute(KeyValue::new("service.version", version()));
    let resource = with_version().build();
    let name = resource.get(&Key::from_static_str("service.name"));
    match name {
        Some(name) if !name.as_str().starts_with("unknown_service") => resource,
        _ => with_version().with_service_name(SERVICE).build(),
    }
}

/// The collector, and whether it answers: one log line says that it stops to, one that it does again.
struct Collector {
    agent: Agent,
    endpoint: String,
    headers: Option<Arc<Live<Headers>>>,
    is_grpc_port: bool,
    failing: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)
    }
}

impl Collector {
    fn new(config: &TracingConfig) -> Result<Self, TracesError> {
        let agent = outgoing::agent(&config.endpoint, config.authorities.as_deref(), "MLOPS_OTLP_CA", ANSWER_WITHIN)?;
        Ok(Self {
            agent,
            endpoint: config.endpoint.clone(),
            headers: config.headers.clone(),
            is_grpc_port: config.is_grpc_port(),
            failing: AtomicBool::new(false),
        })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (mut parts, body) = request.into_parts();
        if let Some(headers) = &self.headers {
            headers.current().put_into(&mut parts.headers);
        }
        let (parts, mut body) = self.agent.run(Request::from_parts(parts, &body[..]))?.into_parts();
        let body = body.with_config().limit(MOST_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }

    /// What went wrong, as a sentence without its full stop. A server of gRPC answers nothing that HTTP/1.1 can read.
    fn problem(&self, error: &ureq::Error) -> String {
        let said = error.to_string();
        let said = masked_sentence(&said);
        if self.is_grpc_port {
            return format!("{GRPC_PORT_SENTENCE} ({said})");
        }
        match error {
            ureq::Error::Protocol(_) => format!(
                "what answers there doesn't speak HTTP/1.1, as a collector's port for gRPC doesn't; its port for OTLP over \
                 HTTP is by default 4318 ({said})"
            ),
            _ => said.into_owned(),
        }
    }

    fn note(&self, problem: Option<String>) {
        let failing = problem.is_some();
        if self.failing.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        if let Some(problem) = problem {
            let endpoint = &self.endpoint;
            tracing::warn!(endpoint, problem, "traces can't be sent and are dropped until they can");
        } else {
            tracing::info!(endpoint = self.endpoint, "traces are sent again");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Blocks, which only ever stops the exporter's own thread.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        self.note(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(self.problem(error)),
        });
        Ok(answer?)
    }
}
