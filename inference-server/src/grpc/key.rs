//! The API key of a call. This is the one place that asks for it.

use axum::http::HeaderMap;

use super::error::CallError;
use crate::{
    access::{Denied, Permit},
    http::{App, auth},
};

/// Lets a call pass when no key is set, or when it carries one of those in force and no more than that may. The permit
/// is held until the call is answered.
pub(super) async fn require(app: &App, headers: &HeaderMap) -> Result<Permit, CallError> {
    auth::admit(app, headers).await.map_err(|denied| match denied {
        Denied::Missing | Denied::Wrong => CallError::Unauthorized,
        Denied::Limited(exceeded) => CallError::KeyLimited(exceeded),
    })
}
