//! Accepts connections and bounds them: how many are open, and how long each may keep the server
//! waiting.

mod activity;
mod calls;
mod connection;
mod handshake;
mod outgoing;
mod places;
mod socket;
mod timed;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use futures::future::join_all;
use hyper::server::conn::http1;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::tls::{Acceptor, HTTP_1, HTTP_2};
use crate::{
    grpc::Calls,
    http::{self, App},
    metrics::{ConnectionRefusal, Metrics},
    startup,
};
use calls::SharedCalls;
use connection::Shared;
use places::{Place, Places};

/// Largest request head in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Connections beyond the limit that are answered at the same time, so that probes get through and
/// the others learn why they don't.
const CROWD: usize = 256;

/// As [`CROWD`], and the limit itself, for the management port.
const MANAGEMENT: usize = 64;

/// How long a connection may be without a request before it can lose its place to a new one: long
/// enough for a head to arrive after the handshake.
const GRACE: Duration = Duration::from_secs(1);
const CROWD_GRACE: Duration = Duration::from_millis(100);

/// File descriptors that are not for connections: the model, logs, Redis, traces.
const OTHER_FILES: usize = 128;

/// The places for connections of callers, on whichever port they come.
pub(super) struct CallersPlaces(Arc<Places>);

impl CallersPlaces {
    /// As many as the settings and the limit of open files allow.
    pub(super) fn of(app: &App) -> Self {
        let management = app.config.management_port.map_or(0, |_| 2 * MANAGEMENT);
        let calls = app.config.grpc_port.map_or(0, |_| CROWD);
        let most = affordable(app.config.connections.most, OTHER_FILES + CROWD + calls + management);
        Self(Places::new(most, GRACE))
    }
}

/// The connections of one port.
pub(super) struct Connections {
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
}

impl Connections {
    /// Starts to accept callers.
    pub(super) fn accept(listeners: Vec<TcpListener>, places: &CallersPlaces, app: &Arc<App>) -> Self {
        Self::accept_http(listeners, http::router(app), acceptor(app, HTTP_1), &places.0, CROWD, app)
    }

    /// Starts to accept those who call over gRPC. Their places are among those of all callers.
    pub(super) fn accept_calls(
        listeners: Vec<TcpListener>,
        places: &CallersPlaces,
        calls: Calls,
        app: &Arc<App>,
    ) -> Self {
        let (limits, tls) = (app.config.connections, acceptor(app, HTTP_2));
        Self::start(listeners, &places.0, CROWD, app, |stopped| {
            let shared = SharedCalls::new(calls, limits, tls, Arc::clone(&app.metrics), stopped);
            move |stream, place, crowded| calls::serve(stream, place, crowded, shared.clone())
        })
    }

    /// Starts to accept those who run the service. Their places are their own.
    pub(super) fn accept_management(listeners: Vec<TcpListener>, app: &Arc<App>) -> Self {
        let places = Places::new(MANAGEMENT, GRACE);
        Self::accept_http(listeners, http::management_router(app), None, &places, MANAGEMENT, app)
    }

    fn accept_http(
        listeners: Vec<TcpListener>,
        router: Router,
        tls: Option<Arc<Acceptor>>,
        places: &Arc<Places>,
        crowd: usize,
        app: &App,
    ) -> Self {
        let limits = app.config.connections;
        let mut http = http1::Builder::new();
        // The connection's own clock watches the head, as it tells an idle client from a slow one.
        http.header_read_timeout(None).max_buf_size(HEAD_BYTES).half_close(false);
        let metrics = Arc::clone(&app.metrics);
        Self::start(listeners, places, crowd, app, |stopped| {
            let shared = Shared { http, router, limits, metrics, stopped, tls };
            move |stream, place, crowded| connection::serve(stream, place, crowded, shared.clone())
        })
    }

    /// Accepts connections, each of which is served by what `serving` makes, until it is told to stop.
    fn start<S, F>(
        listeners: Vec<TcpListener>,
        places: &Arc<Places>,
        crowd: usize,
        app: &App,
        serving: impl FnOnce(watch::Receiver<bool>) -> S,
    ) -> Self
    where
        S: Fn(TcpStream, Place, bool) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let crowd = Places::new(crowd, CROWD_GRACE);
        let serve = serving(stopped.clone());
        let accept = |listener| {
            let entrance =
                Entrance { places: Arc::clone(places), crowd: Arc::clone(&crowd), metrics: Arc::clone(&app.metrics) };
            tokio::spawn(accept_all(listener, entrance, stopped.clone(), serve.clone()))
        };
        Self { stop, accepting: listeners.into_iter().map(accept).collect() }
    }

    /// Stops to accept, then waits until each open request has its response.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        join_all(self.accepting).await;
        // Each connection holds a receiver.
        self.stop.closed().await;
    }
}

/// What TLS is spoken with on the callers' ports, unless they are plain.
fn acceptor(app: &App, protocols: &'static [&'static str]) -> Option<Arc<Acceptor>> {
    app.config.tls.clone().map(|identity| Arc::new(Acceptor::new(identity, protocols)))
}

/// As many connections as the limit of open files leaves room for beside `others`.
fn affordable(asked: usize, others: usize) -> usize {
    let files = usize::try_from(startup::open_files()).unwrap_or(usize::MAX);
    let room = files.saturating_sub(others).max(1);
    if room < asked {
        tracing::warn!(connections = room, asked, "fewer connections than asked for: raise the limit of open files");
    }
    asked.min(room)
}

/// Counts a connection as open until dropped, also when a handler panics.
struct Open(Gauge);

impl Open {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Where connections get their places.
struct Entrance {
    places: Arc<Places>,
    crowd: Arc<Places>,
    metrics: Arc<Metrics>,
}

async fn accept_all<S, F>(listener: TcpListener, entrance: Entrance, mut stopped: watch::Receiver<bool>, serve: S)
where
    S: Fn(TcpStream, Place, bool) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let Entrance { places, crowd, metrics } = entrance;
    loop {
        let stream = tokio::select! {
            accepted = accept_one(&listener) => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let place = places.enter();
        let crowded = place.is_none();
        if crowded {
            metrics.refuse_connection(ConnectionRefusal::Limit);
        }
        // Even refusing has its bounds.
        let Some(place) = place.or_else(|| crowd.enter()) else { continue };
        let open = Open::begin(&metrics.open_connections);
        let serving = serve(stream, place, crowded);
        tokio::spawn(async move {
            serving.await;
            drop(open);
        });
    }
}

async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole, so waiting for more to send only adds latency.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // The client was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors, most likely: others must finish first.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
