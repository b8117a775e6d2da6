//! Counts and logs each request, and tells clients to leave while the server drains.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use prometheus_client::metrics::gauge::Gauge;

use super::{ApiError, App};

/// Label of requests that match no route: paths that callers make up add no series.
const NO_ROUTE: &str = "unmatched";

/// Counts a request as active until dropped, also when its client goes and the future is cancelled.
struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let endpoint = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = endpoint.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = method_label(request.method());
    let active = Active(app.metrics.active_requests.clone());
    active.0.inc();

    let mut response = next.run(request).await;

    drop(active);
    let status = response.status();
    let took = start.elapsed();
    // Not the scrapes: they would be the busiest route of an idle service.
    if !endpoint.ends_with("/metrics") || endpoint.ends_with("/batch/metrics") {
        app.metrics.observe_request(endpoint, method, status.as_u16(), took);
    }
    let milliseconds = took.as_secs_f64() * 1e3;
    // A 503 is how load is shed: a line for each would add to the load, and the series count them.
    let failed = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
    if let Some(error) = response.extensions().get::<ApiError>().filter(|_| failed) {
        tracing::warn!(endpoint, method, status = status.as_u16(), milliseconds, %error, "request failed");
    } else {
        tracing::debug!(endpoint, method, status = status.as_u16(), milliseconds, "request");
    }
    if app.is_draining() {
        // So that clients with open connections move to another replica before this one closes them.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Known methods only: a label value that callers choose would be unbounded.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
