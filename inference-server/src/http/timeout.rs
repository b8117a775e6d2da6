//! The longest time a request may take, its body's arrival included.

use axum::response::Response;

use super::{ApiError, App};

/// Past the time, the handler is dropped, and with it what it waits for: a text that is still
/// queued is withdrawn.
pub(super) async fn within_time(app: &App, answer: impl Future<Output = Response>) -> Result<Response, ApiError> {
    let limit = app.config.request_timeout;
    tokio::time::timeout(limit, answer).await.map_err(|_| ApiError::TimedOut(limit.as_secs()))
}
