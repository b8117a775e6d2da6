//! Messages on their way in: none takes long, none is too large, and all together have a bound.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::Status;

use super::error::CallError;
use crate::http::bodies::hold;

/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// The memory of messages that have come whole, in their order.
#[derive(Clone, Default)]
pub(super) struct Messages(Arc<Mutex<VecDeque<OwnedSemaphorePermit>>>);

impl Messages {
    /// The memory of the next one, to be held until it is answered.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn number(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn add(&self, held: OwnedSemaphorePermit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(held);
    }
}

/// What becomes of a call's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is one, whose memory is held until it is answered.
    One,
    /// The memory of each is held until it is answered.
    Many,
    /// Each is small and answered at once, so none is held for longer than it takes to come.
    Passing,
}

/// A request's body.
pub(super) struct Arriving<B> {
    body: B,
    kind: Kind,
    most: usize,
    within: Duration,
    /// Runs while the next part of a message is waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    room: Arc<Semaphore>,
    /// Memory of the message that is coming.
    held: Option<OwnedSemaphorePermit>,
    frames: Frames,
    messages: Messages,
}

impl<B> Arriving<B> {
    /// A body of messages of at most so many bytes, of which no part may take longer than `within`.
    pub(super) fn new(
        body: B,
        kind: Kind,
        most: usize,
        within: Duration,
        room: Arc<Semaphore>,
        messages: Messages,
    ) -> Self {
        let frames = Frames::default();
        Self { body, kind, most, within, stalled: None, room, held: None, frames, messages }
    }

    /// Takes room for what came, and notes the messages that are whole by it.
    fn came(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let more = hold(&self.room, bytes.len()).map_err(|full| CallError::NoRoom(full.to_string()))?;
        match self.held.as_mut() {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        for length in self.frames.read(bytes, self.most)? {
            let message = self.held.as_mut().and_then(|held| held.split(length));
            if let Some(message) = message.filter(|_| self.kind != Kind::Passing) {
                self.messages.add(message);
            }
        }
        // What comes after the one message would be read to its end, however long that is.
        if self.kind == Kind::One
            && (self.messages.number() > 1 || self.frames.is_within() && self.messages.number() > 0)
        {
            return Err(CallError::invalid("the call takes one message"));
        }
        Ok(())
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Poll::Ready(part) = Pin::new(&mut this.body).poll_frame(cx) else {
            // Between two messages a client may take its time: the deadline is what bounds a call.
            if !this.frames.is_within() {
                return Poll::Pending;
            }
            let within = this.within;
            let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
            ready!(stalled.as_mut().poll(cx));
            return Poll::Ready(Some(Err(CallError::TooSlow(within.as_secs()).into())));
        };
        this.stalled = None;
        Poll::Ready(match part {
            Some(Ok(frame)) => match frame.data_ref().map_or(Ok(()), |bytes| this.came(bytes)) {
                Ok(()) => Some(Ok(frame)),
                Err(refused) => Some(Err(refused.into())),
            },
            Some(Err(_)) => Some(Err(Status::cancelled("the message did not come whole"))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in the messages a body is.
#[derive(Default)]
struct Frames {
    /// Bytes of the present message that have come, its prefix included.
    come: usize,
    /// Its length, as far as it has come.
    length: usize,
}

impl Frames {
    /// Whether a message has begun.
    fn is_within(&self) -> bool {
        self.come > 0
    }

    /// The sizes of the messages that end in these bytes, their prefixes included.
    fn read(&mut self, mut bytes: &[u8], most: usize) -> Result<Vec<usize>, CallError> {
        let mut ended = Vec::new();
        loop {
            while self.come < PREFIX {
                let Some((byte, rest)) = bytes.split_first() else { return Ok(ended) };
                bytes = rest;
                if self.come > 0 {
                    self.length = self.length << 8 | usize::from(*byte);
                }
                self.come += 1;
            }
            if self.length > most {
                return Err(CallError::TooLarge(most));
            }
            let whole = PREFIX + self.length;
            let taken = bytes.len().min(whole - self.come);
            bytes = &bytes[taken..];
            self.come += taken;
            if self.come < whole {
                return Ok(ended);
            }
            ended.push(whole);
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_their_prefix_says_however_they_are_cut() {
        let bytes = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c";
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let ended: Vec<usize> = bytes.chunks(size).flat_map(|part| frames.read(part, 2).unwrap()).collect();
            assert_eq!((ended, frames.is_within()), (vec![7, 5, 6], false), "{size}");
        }
        assert!(Frames::default().read(b"\0\0\0\0\x03", 2).is_err());
        assert!(Frames::default().read(&[255; 5], 2).is_err());
    }

    #[test]
    fn memory_is_held_by_each_message() {
        let (room, messages) = (Arc::new(Semaphore::new(20)), Messages::default());
        let mut body = Arriving::new((), Kind::Many, 100, Duration::ZERO, Arc::clone(&room), messages.clone());
        body.came(b"\0\0\0\0\x02ab\0\0\0\0\x01").unwrap();
        assert_eq!(room.available_permits(), 8);
        drop(messages.take());
        assert_eq!((room.available_permits(), messages.take().is_none()), (15, true));
        body.came(b"c").unwrap();
        assert!(matches!(body.came(&[0; 15]), Err(CallError::NoRoom(_))));
        drop((body, messages.take()));
        assert_eq!(room.available_permits(), 20);
    }
    #[test]
    fn a_call_of_one_message_takes_no_second_and_passing_ones_are_not_held() {
        let (room, messages) = (Arc::new(Semaphore::new(100)), Messages::default());
        let of = |kind| Arriving::new((), kind, 100, Duration::ZERO, Arc::clone(&room), messages.clone());
        let mut passing = of(Kind::Passing);
        passing.came(&[0; 50]).unwrap();
        assert_eq!((room.available_permits(), messages.number()), (100, 0));
        let mut one = of(Kind::One);
        one.came(&[0; 5]).unwrap();
        assert_eq!(one.came(&[0]), Err(CallError::invalid("the call takes one message")));
    }
}
