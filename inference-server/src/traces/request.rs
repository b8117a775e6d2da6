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

/// The span of a request. Exported when dropped, so that a request whose client goes has one too.
pub struct RequestSpan<'a> {
    traces: &'a Traces,
    context: TraceContext,
    method: &'static str,
    route: String,
    correlation_id: String,
    begun: Instant,
    begun_at: SystemTime,
    texts: Arc<Mutex<Vec<Timeline>>>,
    status: Option<u16>,
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
        Self {
            traces,
            context,
            method,
            route: route.to_owned(),
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
        self.status = Some(status);
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
        // Names as in OpenTelemetry's semantic conventions for HTTP servers.
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("http.route", self.route.clone()),
            KeyValue::new("correlation_id", self.correlation_id.clone()),
        ];
        let status = match self.status {
            None => Status::error("the client went away"),
            Some(500..) => Status::error(""),
            Some(_) => Status::Unset,
        };
        attributes.extend(self.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
        self.traces.export(SpanData {
            span_context: self.span_context(self.context.span_id),
            parent_span_id: self.context.parent.map_or(SpanId::INVALID, span_id),
            parent_span_is_remote: self.context.parent.is_some(),
            span_kind: SpanKind::Server,
            name: Cow::Owned(format!("{} {}", self.method, self.route)),
            status,
            ..self.child("", self.begun, Instant::now(), attributes)
        });
    }
}
