//! Counts and logs each request, and tells clients to leave while the server drains.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
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

/// A request that is being answered.
pub(super) struct Observed<'a> {
    app: &'a App,
    start: Instant,
    route: Option<MatchedPath>,
    method: &'static str,
    active: Active,
}

impl<'a> Observed<'a> {
    pub(super) fn begin(app: &'a App, request: &Request) -> Self {
        let active = Active(app.metrics.active_requests.clone());
        active.0.inc();
        Self {
            app,
            start: Instant::now(),
            route: request.extensions().get().cloned(),
            method: method_label(request.method()),
            active,
        }
    }

    pub(super) fn end(self, mut response: Response) -> Response {
        let Self { app, start, route, method, active } = self;
        drop(active);
        let endpoint = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
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
