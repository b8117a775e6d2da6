//! A stream over which only replies come that an answer of ours can be. The client library keeps whatever a reply announces
//! until it is whole, so that a server, or who stands between, could fill the memory with it.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::replies::{Refusal, Replies};

/// Why a connection was given up, if it was; set once.
pub(super) type Refused = Arc<OnceLock<Refusal>>;

/// A stream whose reader gets replies of bounded length, or an error.
pub(super) struct Guard<S> {
    stream: S,
    replies: Replies,
    refused: Refused,
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S) -> (Self, Refused) {
        let refused = Refused::default();
        (Self { stream, replies: Replies::new(), refused: Arc::clone(&refused) }, refused)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Err(refusal) = self.replies.pass(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            let refusal = *self.refused.get_or_init(|| refusal);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_reader_gets_an_error_in_place_of_the_reply() {
        let (mut guard, refused) = Guard::new(&b"+OK\r\n$2000000000\r\n"[..]);
        let error = guard.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.to_string(), Refusal::TooLong.to_string());
        assert_eq!(refused.get(), Some(&Refusal::TooLong));
        let (mut guard, refused) = Guard::new(&b"+OK\r\n$2\r\nok\r\n"[..]);
        let mut read = Vec::new();
        guard.read_to_end(&mut read).await.unwrap();
        assert_eq!((read.as_slice(), refused.get()), (&b"+OK\r\n$2\r\nok\r\n"[..], None));
    }
}
