//! Records requests as spans, where a collector is configured.

use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    response::Response,
};

use super::{App, CorrelationId, observe};
use crate::traces::{RequestSpan, TraceContext};

/// Ends of the routes that probes and scrapers ask all the time.
const NOT_TRACED: [&str; 9] = [
    "/health",
    "/health/details",
    "/ready",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/healthz",
    "/livez",
    "/readyz",
];

/// A request, with its span if it has one.
pub(super) struct Traced<'a>(Option<RequestSpan<'a>>);

impl<'a> Traced<'a> {
    pub(super) fn begin(app: &'a App, request: &Request) -> Self {
        Self(Self::span(app, request))
    }

    fn span(app: &'a App, request: &Request) -> Option<RequestSpan<'a>> {
        let traces = app.traces.as_ref()?;
        let extensions = request.extensions();
        let (context, route) = (extensions.get::<TraceContext>()?, extensions.get::<MatchedPath>()?);
        if !context.sampled || NOT_TRACED.iter().any(|end| route.as_str().ends_with(end)) {
            return None;
        }
        let id = extensions.get().map_or("", CorrelationId::as_str);
        Some(RequestSpan::begin(traces, *context, observe::method_label(request.method()), route.as_str(), id))
    }

    /// Runs what answers the request; its texts become part of the span.
    pub(super) async fn run(&self, answering: impl Future<Output = Response>) -> Response {
        match &self.0 {
            Some(span) => span.run(answering).await,
            None => answering.await,
        }
    }

    pub(super) fn end(self, status: StatusCode) {
        match self.0 {
            // Who has no key must not be able to fill the collector.
            Some(span) if status == StatusCode::UNAUTHORIZED => span.discard(),
            Some(span) => span.end(status.as_u16()),
            None => {}
        }
    }
}
