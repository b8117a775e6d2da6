//! The API key of a call. This is the one place that asks for it.

use axum::http::{HeaderMap, HeaderValue, header};

use super::error::CallError;
use crate::http::{
    App,
    auth::{API_KEY, check_key},
};

/// What clients that know only OAuth's way put before a key.
const BEARER: &[u8] = b"bearer ";

/// Lets a call pass when no key is set, or when it carries one of those in force.
pub(super) async fn require(app: &App, headers: &HeaderMap) -> Result<(), CallError> {
    check_key(app, sent(headers)).await.map_err(|_| CallError::Unauthorized)
}

/// What came as a key: `x-api-key`, or else a bearer token.
fn sent(headers: &HeaderMap) -> Option<&[u8]> {
    let token = || {
        let value = headers.get(header::AUTHORIZATION)?.as_bytes();
        let (scheme, token) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
    };
    headers.get(API_KEY).map(HeaderValue::as_bytes).or_else(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &'static str) -> HeaderMap {
        [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_key_comes_by_either_name() {
        assert_eq!(sent(&of("x-api-key", "s3cret")), Some(b"s3cret".as_slice()));
        assert_eq!(sent(&of("authorization", "bearer s3cret")), Some(b"s3cret".as_slice()));
        for other in ["Basic s3cret", "s3cret", "Bearer"] {
            assert_eq!(sent(&of("authorization", other)), None, "{other}");
        }
    }
}
