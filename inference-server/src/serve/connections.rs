//! Accepts connections and bounds them: how many are open, and how long each may keep the server
//! waiting.

mod activity;
mod connection;
mod handshake;
mod outgoing;
mod places;
mod socket;

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

use super::tls::{Acceptor, HTTP_1};
use crate::{
    config::ConnectionConfig,
    http::{self, App},
    metrics::ConnectionRefusal,
    startup,
};
use connection::{Shared, serve};
use places::Places;

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

/// The connections of one port.
pub(super) struct Connections {
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
}

impl Connections {
    /// Starts to accept callers.
    pub(super) fn accept(listeners: Vec<TcpListener>, app: &Arc<App>) -> Self {
        let management = app.config.management_port.map_or(0, |_| 2 * MANAGEMENT);
        let most = affordable(app.config.connections.most, OTHER_FILES + CROWD + management);
        let tls = app.config.tls.clone().map(|identity| Arc::new(Acceptor::new(identity, HTTP_1)));
        Self::start(listeners, http::router(app), tls, [most, CROWD], app)
    }

    /// Starts to accept those who run the service. Their places are their own.
    pub(super) fn accept_management(listeners: Vec<TcpListener>, app: &Arc<App>) -> Self {
        Self::start(listeners, http::management_router(app), None, [MANAGEMENT, MANAGEMENT], app)
    }

    fn start(
        listeners: Vec<TcpListener>,
        router: Router,
        tls: Option<Arc<Acceptor>>,
        [most, crowd]: [usize; 2],
        app: &App,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let limits = ConnectionConfig { most, ..app.config.connections };
        let mut http = http1::Builder::new();
        // The connection's own clock watches the head, as it tells an idle client from a slow one.
        http.header_read_timeout(None).max_buf_size(HEAD_BYTES).half_close(false);
        let metrics = Arc::clone(&app.metrics);
        let shared = Shared { http, router, limits, metrics, stopped, tls };
        let (places, crowd) = (Places::new(most, GRACE), Places::new(crowd, CROWD_GRACE));
        let accept =
            |listener| tokio::spawn(accept_all(listener, Arc::clone(&places), Arc::clone(&crowd), shared.clone()));
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

async fn accept_all(listener: TcpListener, places: Arc<Places>, crowd: Arc<Places>, mut shared: Shared) {
    loop {
        let stream = tokio::select! {
            accepted = accept_one(&listener) => accepted,
            _ = shared.stopped.wait_for(|stopped| *stopped) => return,
        };
        let place = places.enter();
        let crowded = place.is_none();
        if crowded {
            shared.metrics.refuse_connection(ConnectionRefusal::Limit);
        }
        // Even refusing has its bounds.
        let Some(place) = place.or_else(|| crowd.enter()) else { continue };
        let (open, shared) = (Open::begin(&shared.metrics.open_connections), shared.clone());
        tokio::spawn(async move {
            serve(stream, place, crowded, shared).await;
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
