//! The body of a response, which tells its connection of its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::activity::Activity;

/// A request that is being answered. It counts as answered when dropped: hyper drops a body as soon as
/// it has its last part, and a handler's future when the client has gone.
pub(super) struct Unanswered(Arc<Activity>);

impl Unanswered {
    /// Begins a request.
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.request_begins();
        Self(Arc::clone(activity))
    }

    /// See [`Activity::left_body_unread`].
    pub(super) fn left_body_unread(&self) {
        self.0.left_body_unread();
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.response_is_whole();
    }
}

/// The body of a response.
pub(super) struct Outgoing {
    body: Body,
    _until_whole: Unanswered,
}

impl Outgoing {
    pub(super) fn new(body: Body, request: Unanswered) -> Self {
        request.0.response_begins();
        Self { body, _until_whole: request }
    }
}

impl HttpBody for Outgoing {
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
