//! One connection from its first byte to its end.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::{Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tower::Service;

use super::{
    activity::{Activity, Phase},
    handshake::shake_hands,
    outgoing::{Outgoing, Unanswered},
    places::Place,
    socket::Socket,
};
use crate::{
    config::ConnectionConfig,
    http::{ApiError, BodyLeftUnread, Crowded, refusal},
    metrics::{ConnectionRefusal, Metrics},
    serve::tls::Acceptor,
};

/// How long unread bytes of a refused request are thrown away, so that the refusal arrives.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection has to take a refusal that is written outside a request.
pub(super) const REFUSE_WITHIN: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) http: http1::Builder,
    pub(super) router: Router,
    pub(super) limits: ConnectionConfig,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stopped: watch::Receiver<bool>,
    /// `None` speaks plain HTTP.
    pub(super) tls: Option<Arc<Acceptor>>,
}

/// Why a connection is not simply served on.
enum Event {
    /// The client or the protocol has ended it.
    Ended(hyper::Result<()>),
    /// It has been in this phase for too long.
    Overdue(Phase),
    /// Another one needs its place.
    AskedToLeave,
    /// The server stops.
    Stopped,
}

/// Serves a connection to its end. A `crowded` one came when all places were taken: only probes are
/// answered on it, and it ends with its first response.
pub(super) async fn serve(stream: TcpStream, place: Place, crowded: bool, mut shared: Shared) {
    match shared.tls.take() {
        None => serve_http(stream, place, crowded, shared).await,
        // In memory of its own, so that plain connections are none the larger for it.
        Some(tls) => Box::pin(serve_https(stream, &tls, place, crowded, shared)).await,
    }
}

async fn serve_https(stream: TcpStream, tls: &Acceptor, place: Place, crowded: bool, mut shared: Shared) {
    let (within, activity) = (shared.limits.head, Arc::clone(&place.activity));
    let secured = shake_hands(stream, tls, within, &activity, &shared.metrics, &mut shared.stopped);
    if let Some(stream) = secured.await {
        serve_http(stream, place, crowded, shared).await;
    }
}

async fn serve_http<S>(stream: S, place: Place, crowded: bool, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared { mut http, router, limits, metrics, mut stopped, tls: _ } = shared;
    http.keep_alive(!crowded);
    let activity = Arc::clone(&place.activity);
    let socket = Socket::new(stream, Arc::clone(&activity), limits.write);
    let service = service_fn(|request| answer(router.clone(), request, Unanswered::begin(&activity), crowded));
    let mut connection = http.serve_connection(TokioIo::new(socket), service);
    let mut alarm = pin!(sleep_until(Instant::now() + limits.head));
    let (mut closing, mut stopping) = (crowded, false);
    let refused = loop {
        let event = tokio::select! {
            biased;
            result = &mut connection => Event::Ended(result),
            phase = poll_fn(|cx| poll_overdue(&activity, &limits, alarm.as_mut(), cx)) => Event::Overdue(phase),
            () = activity.asked_to_leave() => Event::AskedToLeave,
            _ = stopped.wait_for(|stopped| *stopped), if !stopping => Event::Stopped,
        };
        match event {
            Event::Ended(result) => {
                // An error is a client that sent nonsense or went away; neither concerns the server.
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                    activity.left_body_unread();
                }
                break None;
            }
            Event::Overdue(Phase::Head) if activity.can_be_refused() => {
                break Some((ConnectionRefusal::HeadTimeout, ApiError::HeadTooSlow(limits.head.as_secs())));
            }
            Event::AskedToLeave if activity.can_be_refused() => {
                break Some((ConnectionRefusal::Limit, ApiError::TooManyConnections));
            }
            // Asked once already, so its client doesn't even take the response, or hyper's refusal of its head.
            Event::Overdue(_) if closing => break None,
            Event::Stopped => stopping = true,
            Event::Overdue(_) | Event::AskedToLeave => closing = true,
        }
        Pin::new(&mut connection).graceful_shutdown();
    };
    let mut stream = connection.into_parts().io.into_inner().into_stream();
    if let Some((reason, error)) = refused {
        metrics.refuse_connection(reason);
        let refusal = refusal(&error);
        let write = async {
            stream.write_all(&refusal).await?;
            stream.flush().await
        };
        let _ = timeout(REFUSE_WITHIN, write).await;
        activity.left_body_unread();
    }
    if activity.has_to_linger() {
        linger(stream).await;
    }
    drop(place);
}

async fn answer(
    mut router: Router,
    mut request: Request<Incoming>,
    unanswered: Unanswered,
    crowded: bool,
) -> Result<Response<Outgoing>, Infallible> {
    if crowded {
        request.extensions_mut().insert(Crowded);
    }
    let response = router.call(request.map(Body::new)).await?;
    if response.extensions().get::<BodyLeftUnread>().is_some() {
        unanswered.left_body_unread();
    }
    Ok(response.map(|body| Outgoing::new(body, unanswered)))
}

/// Ready when the phase has lasted too long. The alarm is only set anew when it has to ring earlier
/// or has rung too early, so a request costs no change of a timer.
fn poll_overdue(
    activity: &Activity,
    limits: &ConnectionConfig,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Phase> {
    loop {
        let (phase, since) = activity.phase();
        let deadline = match phase {
            Phase::Idle => since + limits.keep_alive,
            Phase::Head => since + limits.head,
            // The request's own time-out ends it.
            Phase::Request => Instant::now() + limits.keep_alive,
            // Each part has its time; so that not each byte has it, the response as a whole has as much as
            // the pause after it.
            Phase::Response => since + limits.keep_alive.max(limits.write),
        };
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        if deadline <= Instant::now() {
            return Poll::Ready(phase);
        }
        alarm.as_mut().reset(deadline);
    }
}

/// Reads and forgets what the client still sends, until it has had time to read the response.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut scratch = vec![0; 16 * 1024];
    let read_all = async {
        let _ = stream.shutdown().await;
        while stream.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    };
    let _ = timeout(LINGER, read_all).await;
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
