//! The API key.

use axum::{extract::Request, http::HeaderName};
use subtle::ConstantTimeEq;

use super::{ApiError, App};

/// The header's name as people know it.
pub(super) const API_KEY_NAME: &str = "X-API-Key";
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets a request pass when no key is set, or when it carries the key.
pub(super) fn require_key(app: &App, request: &Request) -> Result<(), ApiError> {
    if let Some(key) = &app.config.api_key {
        let given = request.headers().get(API_KEY).map_or(&[][..], |value| value.as_bytes());
        // In constant time: how long a wrong key takes says nothing about the right one but its length.
        if !bool::from(given.ct_eq(key.expose().as_bytes())) {
            return Err(ApiError::Unauthorized);
        }
    }
    Ok(())
}
