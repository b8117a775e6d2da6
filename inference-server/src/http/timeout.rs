//! The longest time a request may take, its body's arrival included.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{ApiError, App};

/// Past the time, the handler is dropped, and with it what it waits for: a text that is still
/// queued is withdrawn.
pub(super) async fn within_time(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let limit = app.config.request_timeout;
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| ApiError::TimedOut(limit.as_secs()))
}
