//! Records requests as spans. The layer exists only where a collector is configured.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::{App, CorrelationId, observe};
use crate::traces::{RequestSpan, TraceContext};

/// Ends of the routes that probes and scrapers ask all the time.
const NOT_TRACED: [&str; 6] = ["/health", "/health/details", "/ready", "/health/live", "/health/ready", "/metrics"];

pub(super) async fn trace(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let (Some(traces), Some(context), Some(route)) =
        (&app.traces, extensions.get::<TraceContext>(), extensions.get::<MatchedPath>())
    else {
        return next.run(request).await;
    };
    if !context.sampled || NOT_TRACED.iter().any(|end| route.as_str().ends_with(end)) {
        return next.run(request).await;
    }
    let id = extensions.get().map_or("", CorrelationId::as_str);
    let span = RequestSpan::begin(traces, *context, observe::method_label(request.method()), route.as_str(), id);
    let response = span.run(next.run(request)).await;
    span.end(response.status().as_u16());
    response
}
