//! A request's body once it is whole: its bytes, and what its head says of them.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking};

use super::{
    characters,
    codings::{self, Coding},
};
use crate::http::{ApiError, App, error::quoted, openapi::Failing};
use crate::predict::PredictError;

/// A larger body is read on a thread of its own, so that the threads that serve HTTP don't wait for it.
/// One of this size takes about as long as the way to another thread and back.
const LARGEST_READ_AT_ONCE: usize = 32 * 1024;

/// What a body of unknown length is given room for at first.
const FIRST_ROOM: usize = 16 * 1024;

/// A body of at most `MOST` bytes, as it came.
#[derive(Debug)]
pub(in crate::http) struct Received<const MOST: usize> {
    bytes: Bytes,
    codings: Vec<Coding>,
    /// The content type, where it is one of a form. `curl -d` sends it with JSON too.
    form: Option<&'static str>,
}

impl<S: Send + Sync, const MOST: usize> FromRequest<S> for Received<MOST> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let codings = Coding::of(request.headers())?;
        let form = content_type(request.headers())?;
        let bytes = collect(request.into_body(), MOST).await?;
        Ok(Self { bytes, codings, form })
    }
}

impl<const MOST: usize> Failing for Received<MOST> {
    fn failures() -> Vec<ApiError> {
        let unreadable = format!("the body is not UTF-8: byte 0xe9 at position 12; {}", characters::READ);
        let encoding = format!("the content encoding \"compress\" isn't read; {} are", codings::ACCEPTED);
        vec![
            ApiError::BrokenBody,
            ApiError::UnreadableBody(unreadable),
            ApiError::BodyTooLarge(MOST),
            ApiError::UnpacksTooLarge(MOST),
            // As many seconds as the settings' default.
            ApiError::BodyTooSlow(10),
            ApiError::UnsupportedEncoding(encoding),
            ApiError::UnsupportedMedia(wanted("application/x-www-form-urlencoded")),
            ApiError::Overloaded("the bodies of the requests at hand fill their memory already".to_owned()),
        ]
    }
}

impl<const MOST: usize> Received<MOST> {
    /// Whether there may be more JSON in it than this.
    pub(in crate::http) fn may_exceed(&self, bytes: usize) -> bool {
        self.bytes.len() > bytes || !self.codings.is_empty()
    }

    /// Reads the JSON in it by `parse`. In all this takes three times the body's bytes at most, beside
    /// what a decoder needs for itself.
    pub(in crate::http) async fn read<T: Send + 'static>(
        self,
        app: &App,
        parse: impl FnOnce(&str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.read_split(app, None, |json, _| parse(json)).await
    }

    /// As [`Self::read`], of a body of which only so many bytes are JSON, if that is said.
    pub(in crate::http) async fn read_split<T: Send + 'static>(
        self,
        app: &App,
        json: Option<usize>,
        parse: impl FnOnce(&str, &[u8]) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        if self.codings.is_empty() && self.bytes.len() <= LARGEST_READ_AT_ONCE {
            return self.parse(json, parse);
        }
        let reader =
            Arc::clone(&app.readers).acquire_owned().await.map_err(|_| ApiError::from(PredictError::Stopping))?;
        let mut room = None;
        if !self.codings.is_empty() {
            // What comes out, and as much again that the decoder keeps of it.
            room = Some(super::hold(&app.bodies, 2 * MOST)?);
        }
        let read = spawn_blocking(move || {
            let _reader = reader;
            let unpacked = self.unpacked(room.as_mut())?;
            unpacked.parse(json, parse)
        });
        read.await.unwrap_or(Err(ApiError::Internal("the server panicked on the body")))
    }

    /// Without its codings. Of the room only what the bytes take is kept.
    fn unpacked(self, room: Option<&mut OwnedSemaphorePermit>) -> Result<Self, ApiError> {
        let bytes = codings::unpack(self.bytes, &self.codings, MOST)?;
        if let Some(room) = room {
            drop(room.split((2 * MOST).saturating_sub(bytes.len())));
        }
        Ok(Self { bytes, codings: Vec::new(), form: self.form })
    }

    fn parse<T>(
        self,
        json: Option<usize>,
        parse: impl FnOnce(&str, &[u8]) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let Self { mut bytes, form, .. } = self;
        let length = bytes.len();
        let at = json.unwrap_or(length);
        if at > length {
            return Err(ApiError::Protocol(format!("{at} bytes should be JSON, but the body has {length}")));
        }
        let mut rest = bytes.split_off(at);
        let text = characters::read(&bytes)?;
        if let Some(form) = form.filter(|_| !text.trim_start().starts_with(['{', '['])) {
            return Err(ApiError::UnsupportedMedia(wanted(form)));
        }
        match text {
            std::borrow::Cow::Borrowed(text) => parse(text, &rest),
            std::borrow::Cow::Owned(text) => {
                // The two together would be too much beside what is made of them.
                rest = Bytes::copy_from_slice(&rest);
                drop(bytes);
                parse(&text, &rest)
            }
        }
    }
}

fn wanted(form: &str) -> String {
    format!(
        "the body is a form ({form}), and JSON is wanted: with Content-Type: application/json, as {{\"text\": \"…\"}}"
    )
}

/// The content type if it is one of a form. No other is asked for, as version 1's documentation shows calls
/// without one, but a character set that isn't read is refused.
fn content_type(headers: &HeaderMap) -> Result<Option<&'static str>, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    for part in parts {
        let Some((name, charset)) = part.split_once('=') else { continue };
        let charset = charset.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !characters::CHARSETS.iter().any(|known| known.eq_ignore_ascii_case(charset))
        {
            let sentence = format!("the charset {} isn't read; {}", quoted(charset), characters::READ);
            return Err(ApiError::UnsupportedMedia(sentence));
        }
    }
    let forms = ["application/x-www-form-urlencoded", "multipart/form-data"];
    Ok(forms.into_iter().find(|form| form.eq_ignore_ascii_case(essence)))
}

/// The bytes in one piece. Parts are let go as they come: they may be of one byte each, and keep the
/// connection's buffer alive.
async fn collect(mut body: Body, most: usize) -> Result<Bytes, ApiError> {
    let too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > most);
    if too_large(body.size_hint().lower()) {
        return Err(ApiError::BodyTooLarge(most));
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| ApiError::BrokenBody)?.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() && part.len() <= most {
            return Ok(part);
        }
        let length = whole.len() + part.len();
        if length > most {
            return Err(ApiError::BodyTooLarge(most));
        }
        if length > whole.capacity() {
            // By doubling, but never more than can come.
            let left = body.size_hint().upper().and_then(|left| usize::try_from(left).ok());
            let end = left.map_or(most, |left| length.saturating_add(left).min(most));
            let wanted = (2 * whole.capacity()).max(FIRST_ROOM).max(length).min(end);
            whole.reserve_exact(wanted - whole.len());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

#[cfg(test)]
#[path = "received_tests.rs"]
mod tests;
