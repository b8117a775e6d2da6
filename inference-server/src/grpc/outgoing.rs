//! Responses on their way out, in parts small enough to see whether the client takes them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::Status;

use super::conversation::{Open, Owed};
use crate::access::Permit;

/// Largest part. The next is asked for only when the client has room for more, so this and no more waits unseen.
const PART: usize = 16 * 1024;

/// A response's body.
pub struct Outgoing {
    body: tonic::body::Body,
    /// What is left of the latest message.
    rest: Bytes,
    call: Open,
    /// Of a call with one answer, until that is sent.
    _owed: Option<Owed>,
    /// The call's place among those of its key.
    _permit: Permit,
}

impl Outgoing {
    pub(super) fn new(body: tonic::body::Body, call: Open, owed: Option<Owed>, permit: Permit) -> Self {
        call.sends();
        Self { body, rest: Bytes::new(), call, _owed: owed, _permit: permit }
    }

    fn part(&mut self) -> Frame<Bytes> {
        self.call.sends();
        Frame::data(self.rest.split_to(self.rest.len().min(PART)))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        this.call.is_taken();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.part())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                this.rest = data;
                Some(Ok(this.part()))
            }
            Some(Ok(Err(trailers))) => Some(Ok(trailers)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
