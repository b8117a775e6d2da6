//! `X-Correlation-ID` and the trace: taken from the caller or made, in every response and log line.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use tracing::Span;
use uuid::Uuid;

use super::{
    ApiError, App,
    protocols::{self, Form},
};
use crate::traces::{TraceContext, Traces};

/// The header's name as people know it.
pub(super) const HEADER_NAME: &str = "X-Correlation-ID";
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The request's own place in the trace, as the draft of level 2 of W3C's trace context names it.
pub(crate) const TRACE: HeaderName = HeaderName::from_static("traceresponse");

/// Longest id that is taken from a caller, so that logs and responses stay small.
const LONGEST: usize = 128;

/// The id that ties a request to its log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(HeaderValue);

impl CorrelationId {
    /// The caller's, if it can be used, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).filter(|value| {
            let usable = value.to_str().is_ok_and(|id| id.bytes().all(|byte| byte.is_ascii_graphic()));
            usable && (1..=LONGEST).contains(&value.len())
        });
        given.cloned().map_or_else(Self::make, Self)
    }

    /// A new one.
    pub(super) fn make() -> Self {
        let id = Uuid::new_v4().to_string();
        Self(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The id as a header.
    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Where a request is in a trace.
pub(crate) fn trace_of(app: &App, headers: &HeaderMap) -> TraceContext {
    let traces = app.traces.as_ref().filter(|traces| traces.records());
    let mut trace = TraceContext::of(headers, || traces.is_some_and(Traces::sample));
    // Callers decide which of their traces are recorded, but not that any are.
    trace.sampled &= traces.is_some();
    trace
}

/// What is logged in it has both ids.
pub(crate) fn span_of(id: &CorrelationId, trace: &TraceContext) -> Span {
    // At the error level, so that every line has it whatever the log level.
    tracing::error_span!("request", correlation_id = id.as_str(), trace_id = %format_args!("{:032x}", trace.trace_id))
}

/// A request that has its id and its place in a trace.
pub(super) struct Correlated {
    id: CorrelationId,
    trace: TraceContext,
    /// How an error looks at its path.
    form: &'static Form,
    /// What is logged in it has both ids.
    pub(super) span: Span,
}

impl Correlated {
    pub(super) fn begin(app: &App, request: &mut Request) -> Self {
        let id = CorrelationId::of(request.headers());
        let form = protocols::form(app, request.uri().path());
        let trace = trace_of(app, request.headers());
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(trace);
        let span = span_of(&id, &trace);
        Self { id, trace, form, span }
    }

    /// The id as text.
    pub(super) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Gives the response both, and errors their body.
    pub(super) fn end(self, mut response: Response) -> Response {
        let Self { id, trace, form, .. } = self;
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            let headers = std::mem::take(response.headers_mut());
            let mut extensions = std::mem::take(response.extensions_mut());
            // A handler that speaks two protocols knows which it was.
            let form = extensions.remove::<&'static Form>().unwrap_or(form);
            response = error.render(form, &id);
            response.extensions_mut().extend(extensions);
            // What the layers inside have added, such as Allow or CORS, but for the length of no body.
            for (name, value) in &headers {
                if !response.headers().contains_key(name) {
                    response.headers_mut().append(name, value.clone());
                }
            }
        }
        response.headers_mut().insert(HEADER, id.0);
        if let Ok(trace) = HeaderValue::from_str(&trace.to_string()) {
            response.headers_mut().insert(TRACE, trace);
        }
        response
    }
}
