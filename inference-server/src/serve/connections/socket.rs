//! A client's socket: notes when bytes come and when all are sent, and gives up on a client that
//! doesn't read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::activity::Activity;

/// A stream, encrypted or not, with a limit on how long a write may wait.
pub(super) struct Socket<S> {
    stream: S,
    activity: Arc<Activity>,
    write_within: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, write_within: Duration) -> Self {
        Self { stream, activity, write_within, stalled: None }
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// Passes a write's outcome on, unless it has been pending for too long.
    fn within_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        self.activity.write_waits();
        let deadline = Instant::now() + self.write_within;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(cx, buffer) else {
            this.activity.nothing_came();
            return Poll::Pending;
        };
        if let Err(error) = outcome {
            // Gone without saying so in TLS, as many clients go. Messages have ends of their own.
            if error.kind() == io::ErrorKind::UnexpectedEof {
                this.activity.peer_closed();
            }
            return Poll::Ready(Err(error));
        }
        if buffer.filled().len() > before {
            this.activity.bytes_came();
        } else if room > 0 {
            this.activity.peer_closed();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.activity.writes();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.within_time(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.activity.writes();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.within_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Encrypted bytes may wait here.
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        ready!(this.within_time(cx, flushed))?;
        // Hyper flushes only when it has written all that it had.
        this.activity.all_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.within_time(cx, closed)
    }
}
