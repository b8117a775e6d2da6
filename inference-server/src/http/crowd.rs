//! Requests on a connection that came when all places for connections were taken.

use axum::extract::Request;

use super::ApiError;

/// Marks a request on a connection beyond the limit.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

/// Refuses a request beyond the limit. Probes and scrapes don't pass here: a server that is busy
/// must not be taken for one that is dead.
pub(super) fn refuse_crowd(request: &Request) -> Result<(), ApiError> {
    if request.extensions().get::<Crowded>().is_some() { Err(ApiError::TooManyConnections) } else { Ok(()) }
}
