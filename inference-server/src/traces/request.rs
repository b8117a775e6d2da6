//! The spans of one request, made when it ends from the moments that were noted on the way.

use std::{
    borrow::Cow,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use opentelemetry::{
    KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{TraceContext, Traces};
use engine::Timeline;

/// Texts of one request that have spans of their own. A batch of a thousand would fill the exporter's
/// queue and show nothing that these don't.
const MOST_TEXTS: usize = 16;

tokio::task_local! {
    static TEXTS: Arc<Mutex<Vec<Timeline>>>;
}

/// Notes a text that the model was run on for the request at hand, if that is traced.
pub fn add_text(timeline: &Timeline) {
    let _ = TEXTS.try_with(|texts| {
        let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < MOST_TEXTS {
            texts.push(*timeline);
        }
    });
}

/// What was asked for.
enum Named {
    Http { method: &'static str, route: String },
    Rpc { path: &'static str },
}

/// How a request ended.
enum Ended {
    Http(u16),
    Rpc { code: i32, is_servers: bool },
}

/// The span of a request. Exported when dropped, so that a request whose client goes has one too.
pub struct RequestSpan<'a> {
    traces: &'a Traces,
    context: TraceContext,
    named: Named,
    correlation_id: String,
    begun: Instant,
    begun_at: SystemTime,
    texts: Arc<Mutex<Vec<Timeline>>>,
    status: Option<Ended>,
    discarded: bool,
}

impl<'a> RequestSpan<'a> {
    /// Begins the span. `route` is the template of the path.
    #[must_use]
    pub fn begin(
        traces: &'a Traces,
        context: TraceContext,
        method: &'static str,
        route: &str,
        correlation_id: &str,
    ) -> Self {
        Self::named(traces, context, Named::Http { method, route: route.to_owned() }, correlation_id)
    }

    /// Begins the span of a call over gRPC, by its path.
    #[must_use]
    pub fn begin_call(traces: &'a Traces, context: TraceContext, path: &'static str, correlation_id: &str) -> Self {
        Self::named(traces, context, Named::Rpc { path }, correlation_id)
    }

    fn named(traces: &'a Traces, context: TraceContext, named: Named, correlation_id: &str) -> Self {
        Self {
            traces,
            context,
            named,
            correlation_id: correlation_id.to_owned(),
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            texts: Arc::default(),
            status: None,
            discarded: false,
        }
    }

    /// Runs what answers the request; its texts become part of the span.
    pub fn run<T>(&self, answering: impl Future<Output = T>) -> impl Future<Output = T> {
        TEXTS.scope(Arc::clone(&self.texts), answering)
    }

    /// Ends the span with the response's status.
    pub fn end(mut self, status: u16) {
        self.status = Some(Ended::Http(status));
    }

    /// Ends the span of a call with its code, and with whether that is an error of the server.
    pub fn end_call(mut self, code: i32, is_servers: bool) {
        self.status = Some(Ended::Rpc { code, is_servers });
    }

    /// Ends the span without exporting it.
    pub fn discard(mut self) {
        self.discarded = true;
    }

    fn at(&self, moment: Instant) -> SystemTime {
        self.begun_at + moment.saturating_duration_since(self.begun)
    }

    fn child(&self, name: &'static str, from: Instant, to: Instant, attributes: Vec<KeyValue>) -> SpanData {
        SpanData {
            span_context: self.span_context(fastrand::u64(1..)),
            parent_span_id: span_id(self.context.span_id),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time: self.at(from),
            end_time: self.at(to),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.traces.scope.clone(),
        }
    }

    fn span_context(&self, id: u64) -> SpanContext {
        let trace_id = TraceId::from_bytes(self.context.trace_id.to_be_bytes());
        SpanContext::new(trace_id, span_id(id), TraceFlags::SAMPLED, false, TraceState::default())
    }
}

fn span_id(id: u64) -> SpanId {
    SpanId::from_bytes(id.to_be_bytes())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Drop for RequestSpan<'_> {
    fn drop(&mut self) {
        if self.discarded {
            return;
        }
        let texts = std::mem::take(&mut *self.texts.lock().unwrap_or_else(PoisonError::into_inner));
        for text in &texts {
            let tokens = KeyValue::new("sentiment.tokens", count(text.tokens));
            let texts = KeyValue::new("sentiment.batch_size", count(text.batch_size));
            self.traces.export(self.child("tokenize", text.tokenizing, text.queued, vec![tokens]));
            self.traces.export(self.child("queue", text.queued, text.run, Vec::new()));
            self.traces.export(self.child("inference", text.run, text.done, vec![texts]));
        }
        // Names as in OpenTelemetry's semantic conventions for HTTP servers and for RPC.
        let (name, mut attributes) = match &self.named {
            Named::Http { method, route } => (
                format!("{method} {route}"),
                vec![KeyValue::new("http.request.method", *method), KeyValue::new("http.route", route.clone())],
            ),
            Named::Rpc { path } => {
                let name = path.trim_start_matches('/');
                let (service, method) = name.split_once('/').unwrap_or_default();
                let attributes = [("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method)];
                (
                    name.to_owned(),
                    attributes.map(|(key, value)| KeyValue::new(key, value.to_owned())).into_iter().collect(),
                )
            }
        };
        attributes.push(KeyValue::new("correlation_id", self.correlation_id.clone()));
        let status = match self.status {
            None => Status::error("the client went away"),
            Some(Ended::Http(500..) | Ended::Rpc { is_servers: true, .. }) => Status::error(""),
            Some(_) => Status::Unset,
        };
        attributes.extend(self.status.as_ref().map(|status| match *status {
            Ended::Http(status) => KeyValue::new("http.response.status_code", i64::from(status)),
            Ended::Rpc { code, .. } => KeyValue::new("rpc.grpc.status_code", i64::from(code)),
        }));
        self.traces.export(SpanData {
            span_context: self.span_context(self.context.span_id),
            parent_span_id: self.context.parent.map_or(SpanId::INVALID, span_id),
            parent_span_is_remote: self.context.parent.is_some(),
            span_kind: SpanKind::Server,
            name: Cow::Owned(name),
            status,
            ..self.child("", self.begun, Instant::now(), attributes)
        });
    }
}
