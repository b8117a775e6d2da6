//! Requests on a connection that came when all places for connections were taken.

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::ApiError;

/// Marks a request on a connection beyond the limit.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

/// Refuses a request beyond the limit. Probes and scrapes don't pass here: a server that is busy
/// must not be taken for one that is dead.
pub(super) async fn refuse_crowd(request: Request, next: Next) -> Result<Response, ApiError> {
    if request.extensions().get::<Crowded>().is_some() {
        Err(ApiError::TooManyConnections)
    } else {
        Ok(next.run(request).await)
    }
}

/// Ends a connection beyond the limit with its first response.
pub(super) async fn close_crowd(request: Request, next: Next) -> Response {
    let crowded = request.extensions().get::<Crowded>().is_some();
    let mut response = next.run(request).await;
    if crowded {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
