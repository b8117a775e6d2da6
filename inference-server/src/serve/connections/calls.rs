//! One connection of gRPC from its first byte to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{HEAD_BYTES, activity::Phase, handshake::shake_hands, places::Place, timed::Timed};
use crate::{
    config::ConnectionConfig,
    grpc::{Calls, Conversation},
    metrics::{ConnectionRefusal, Metrics},
    serve::tls::Acceptor,
};

/// Calls of one connection at once. A client with more opens another connection.
const STREAMS: u32 = 128;

/// Bytes of requests that a client may send ahead of who reads them: on one call, and on all of a connection.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of one response that wait in hyper.
const SEND_BUFFER: usize = 64 * 1024;

/// Clients that don't answer a ping are gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long calls to which no answer is owed go on after the client was told to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Clone)]
pub(super) struct SharedCalls {
    http: http2::Builder<TokioExecutor>,
    calls: Calls,
    limits: ConnectionConfig,
    /// `None` speaks HTTP/2 without TLS.
    tls: Option<Arc<Acceptor>>,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
}

impl SharedCalls {
    pub(super) fn new(
        calls: Calls,
        limits: ConnectionConfig,
        tls: Option<Arc<Acceptor>>,
        metrics: Arc<Metrics>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
        Self { http, calls, limits, tls, metrics, stopped }
    }

    /// How often a connection is looked at: often enough for the shortest of its limits.
    fn look_every(&self) -> Duration {
        let ConnectionConfig { head, keep_alive, write, .. } = self.limits;
        head.min(keep_alive).min(write).div_f64(4.0).min(LEAVE_WITHIN)
    }
}

/// Serves a connection to its end. On a `crowded` one, which came when all places were taken, only probes are answered.
pub(super) async fn serve(stream: TcpStream, place: Place, crowded: bool, mut shared: SharedCalls) {
    let Some(tls) = shared.tls.take() else { return converse(stream, place, crowded, shared).await };
    let (within, activity) = (shared.limits.head, Arc::clone(&place.activity));
    let secured = shake_hands(stream, &tls, within, &activity, &shared.metrics, &mut shared.stopped);
    if let Some(stream) = secured.await {
        converse(stream, place, crowded, shared).await;
    }
}

async fn converse<S>(stream: S, place: Place, crowded: bool, shared: SharedCalls)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let look_every = shared.look_every();
    let SharedCalls { http, calls, limits, tls: _, metrics, mut stopped } = shared;
    let activity = Arc::clone(&place.activity);
    let listener = {
        let activity = Arc::clone(&activity);
        Box::new(move |owes| activity.enter(if owes { Phase::Request } else { Phase::Idle }))
    };
    let conversation = Conversation::new(crowded, stopped.clone(), listener);
    let service = service_fn(|request| {
        let (calls, conversation) = (calls.clone(), Arc::clone(&conversation));
        async move { Ok::<_, Infallible>(calls.answer(request, conversation).await) }
    });
    let socket = Timed::new(stream, limits.write);
    let has_spoken = socket.has_spoken();
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let begun = Instant::now();
    let mut looks = interval(look_every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving: Option<Instant> = None;
    loop {
        let leave = tokio::select! {
            biased;
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection of gRPC ended early");
                }
                break;
            }
            () = activity.asked_to_leave() => true,
            _ = stopped.wait_for(|stopped| *stopped), if leaving.is_none() => true,
            now = looks.tick() => {
                let is_over = |since: Instant, limit| since + limit <= now;
                if !has_spoken.get() && is_over(begun, limits.head) {
                    metrics.refuse_connection(ConnectionRefusal::HeadTimeout);
                    break;
                }
                if conversation.untaken_since().is_some_and(|since| is_over(since, limits.write)) {
                    tracing::debug!("a client of gRPC doesn't take its answers");
                    break;
                }
                if leaving.is_some_and(|since| is_over(since, LEAVE_WITHIN)) && !conversation.owes() {
                    break;
                }
                let most = if crowded { LEAVE_WITHIN } else { limits.keep_alive };
                conversation.idle_since().is_some_and(|since| is_over(since, most))
            }
        };
        if leave && leaving.is_none() {
            leaving = Some(Instant::now());
            Pin::as_mut(&mut connection).graceful_shutdown();
        }
    }
    drop(place);
}
