//! Bodies on their way in: no client holds one up for long, and all of them together have a bound.

mod characters;
mod codings;
mod received;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

use super::{ApiError, App};
use crate::predict::PredictError;
pub(super) use codings::ACCEPTED as ACCEPTED_ENCODINGS;
pub(super) use received::Received;

/// Bytes of bodies that are in memory at once, over all requests. A pod's memory limit is in
/// hundreds of MiB, and a body takes up to three times its size while it is read.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Marks a response that was made while the client was still sending.
#[derive(Clone, Copy, Debug)]
pub struct BodyLeftUnread;

/// What became of a request's body.
#[derive(Default)]
pub(super) struct Receipt {
    whole: AtomicBool,
    problem: OnceLock<ApiError>,
    /// Its part of [`MOST_BYTES`], held until the request is answered.
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Watches a request's body, if it has one. The receipt knows of problems with its arrival.
pub(super) fn watch(app: &App, request: Request) -> (Request, Option<Arc<Receipt>>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let receipt = Arc::new(Receipt::default());
    let within = app.config.connections.body;
    let (room, watched) = (Arc::clone(&app.bodies), Arc::clone(&receipt));
    let arriving = |body| Body::new(Arriving { body, within, stalled: None, room, receipt: watched });
    (request.map(arriving), Some(receipt))
}

impl Receipt {
    /// Says in the response what was wrong with the arrival of the body.
    pub(super) fn judge(&self, mut response: Response) -> Response {
        if self.whole.load(Ordering::Relaxed) {
            return response;
        }
        if let Some(problem) = self.problem.get() {
            response = problem.clone().into_response();
        } else if let Some(ApiError::Predict(PredictError::TimedOut(seconds))) = response.extensions().get() {
            // The request's time was up, but it was the client who used it.
            response = ApiError::BodyTooSlow(*seconds).into_response();
        }
        response.extensions_mut().insert(BodyLeftUnread);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Takes room in memory for bytes of a body, if there is any.
pub(crate) fn hold(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let held = u32::try_from(bytes).ok().and_then(|bytes| Arc::clone(room).try_acquire_many_owned(bytes).ok());
    held.ok_or_else(|| {
        let most = MOST_BYTES >> 20;
        ApiError::Overloaded(format!("the bodies of the requests at hand fill their {most} MiB of memory already"))
    })
}

/// A body with a limit on how long its next part may take and on what it may hold of the memory.
struct Arriving {
    body: Body,
    within: Duration,
    /// Runs while a part is waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    room: Arc<Semaphore>,
    receipt: Arc<Receipt>,
}

impl Arriving {
    fn fail(&self, problem: ApiError) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let error = axum::Error::new(problem.clone());
        let _ = self.receipt.problem.set(problem);
        Poll::Ready(Some(Err(error)))
    }

    /// Takes room for more bytes, if there is any.
    fn hold(&self, bytes: usize) -> Result<(), ApiError> {
        let more = hold(&self.room, bytes)?;
        let mut held = self.receipt.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                let within = this.within;
                let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
                if stalled.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.fail(ApiError::BodyTooSlow(within.as_secs()))
            }
            Poll::Ready(part) => {
                if let Some(stalled) = &mut this.stalled {
                    stalled.as_mut().reset(Instant::now() + this.within);
                }
                let bytes = part.as_ref().and_then(|part| part.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
                if let Err(full) = this.hold(bytes) {
                    return this.fail(full);
                }
                if part.is_none() || this.body.is_end_stream() {
                    this.receipt.whole.store(true, Ordering::Relaxed);
                }
                Poll::Ready(part)
            }
        }
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
    use futures::StreamExt;

    fn arriving(body: Body, room: usize) -> (Body, Arc<Receipt>, Arc<Semaphore>) {
        let (receipt, room) = (Arc::new(Receipt::default()), Arc::new(Semaphore::new(room)));
        let within = Duration::from_secs(10);
        let watched = Arriving { body, within, stalled: None, room: Arc::clone(&room), receipt: Arc::clone(&receipt) };
        (Body::new(watched), receipt, room)
    }

    #[tokio::test]
    async fn memory_is_held_until_the_request_is_answered() {
        let (body, receipt, room) = arriving(Body::from("0123456789"), 10);
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "0123456789");
        assert_eq!((room.available_permits(), receipt.whole.load(Ordering::Relaxed)), (0, true));
        drop(receipt);
        assert_eq!(room.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_body_that_finds_no_room_is_refused() {
        let (body, receipt, _) = arriving(Body::from("0123456789"), 9);
        axum::body::to_bytes(body, 100).await.unwrap_err();
        assert!(matches!(receipt.problem.get(), Some(ApiError::Overloaded(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_has_its_time_and_no_more() {
        let parts = futures::stream::iter(0..5).then(|_| async {
            sleep(Duration::from_secs(9)).await;
            Ok::<_, std::io::Error>("part")
        });
        let (body, ..) = arriving(Body::from_stream(parts), 100);
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap().len(), 20);

        let never = futures::stream::pending::<Result<&str, std::io::Error>>();
        let (body, receipt, _) = arriving(Body::from_stream(never), 100);
        let begun = Instant::now();
        axum::body::to_bytes(body, 100).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
        assert_eq!(receipt.problem.get(), Some(&ApiError::BodyTooSlow(10)));
    }
}
