//! The longest time a request may take, its body's arrival included.

use std::{convert::Infallible, sync::Arc, time::Instant};

use axum::{
    extract::{FromRequestParts, Request},
    http::request::Parts,
    middleware::Next,
    response::Response,
};

use super::{ApiError, App};
use crate::predict::PredictError;

/// When the answer to a request is of no use any more. One moment for all who look: a text whose time is up in the
/// queue is so for its handler too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

impl Deadline {
    fn of(app: &App) -> Self {
        Self(Instant::now() + app.config.request_timeout)
    }
}

impl FromRequestParts<Arc<App>> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Self::of(app)))
    }
}

/// Past the time, the handler is dropped, and with it what it waits for: a text that is still
/// queued is withdrawn.
pub(super) async fn within_time(app: &App, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let deadline = Deadline::of(app);
    request.extensions_mut().insert(deadline);
    let answer = tokio::time::timeout_at(deadline.0.into(), next.run(request));
    answer.await.map_err(|_| ApiError::from(PredictError::TimedOut(app.config.request_timeout.as_secs())))
}
