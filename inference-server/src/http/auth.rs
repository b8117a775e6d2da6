//! The API keys, as HTTP carries them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use super::{ApiError, App};
use crate::access::{Denied, Permit, sent_key};

/// The header's name as people know it.
pub(super) const API_KEY_NAME: &str = "X-API-Key";
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets a request or a call pass when no key is set, or when it carries one of those in force and no more than that may.
pub(crate) async fn admit(app: &App, headers: &HeaderMap) -> Result<Permit, Denied> {
    let Some(guard) = &app.guard else { return Ok(Permit::default()) };
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    guard.admit(sent_key(value(API_KEY), value(AUTHORIZATION))).await
}

/// As [`admit`], with the answer that a request gets otherwise.
pub(super) async fn require_key(app: &App, headers: &HeaderMap) -> Result<Permit, ApiError> {
    Ok(admit(app, headers).await?)
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing | Denied::Wrong => Self::Unauthorized,
            Denied::Limited(exceeded) => Self::KeyLimited(exceeded),
        }
    }
}

/// Holds a request's place among those of its key until its response has been taken.
pub(super) fn hold_until_sent(response: Response, permit: Permit) -> Response {
    if permit.holds_a_place() { response.map(|body| Body::new(Held { body, _until_sent: permit })) } else { response }
}

struct Held {
    body: Body,
    _until_sent: Permit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn app(settings: &[(&str, &str)]) -> App {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        App::new(Config::read(&settings.collect::<Environment>()).unwrap())
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn a_key_comes_in_either_header() {
        let app = app(&[("MLOPS_API_KEY", "s3cret")]);
        for (pairs, passes) in [
            (&[(API_KEY, "s3cret")][..], true),
            (&[(AUTHORIZATION, "Bearer s3cret")], true),
            (&[(API_KEY, "s3cret"), (AUTHORIZATION, "Basic YTpi")], true),
            (&[(API_KEY, "wrong"), (AUTHORIZATION, "Bearer s3cret")], false),
            (&[(AUTHORIZATION, "s3cret")], false),
            (&[], false),
        ] {
            assert_eq!(require_key(&app, &headers(pairs)).await.is_ok(), passes, "{pairs:?}");
        }
    }

    #[tokio::test]
    async fn without_a_key_in_force_everybody_passes() {
        let app = app(&[]);
        assert!(require_key(&app, &headers(&[(API_KEY, "any")])).await.is_ok());
        assert_eq!(app.count_keys(), 0);
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_response_is_gone_and_its_size_is_known() {
        let limits = ("MLOPS_API_KEY_LIMITS", r#"[{"name":"*","concurrency":1}]"#);
        let app = app(&[("MLOPS_API_KEY", "s3cret"), limits]);
        let headers = headers(&[(API_KEY, "s3cret")]);
        let permit = require_key(&app, &headers).await.unwrap();
        let response = hold_until_sent(Response::new(Body::from("whole")), permit);
        assert_eq!(response.body().size_hint().exact(), Some(5));
        assert!(matches!(require_key(&app, &headers).await, Err(ApiError::KeyLimited(_))));
        drop(response);
        assert!(require_key(&app, &headers).await.is_ok());
    }
}
