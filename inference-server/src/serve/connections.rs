//! Accepts connections and bounds them: how many are open, and how long each may keep the server
//! waiting.

mod activity;
mod connection;
mod lane;
mod socket;

use std::{io, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    config::ConnectionConfig,
    http::{self, App},
    metrics::ConnectionRefusal,
    startup,
};
use connection::{Shared, serve};
use lane::Lane;

/// Largest request head in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Connections beyond the limit that are answered at the same time, so that probes get through and
/// the others learn why they don't.
const CROWD: usize = 256;

/// How long a connection may be without a request before it can lose its place to a new one: long
/// enough for a head to arrive after the handshake.
const GRACE: Duration = Duration::from_secs(1);
const CROWD_GRACE: Duration = Duration::from_millis(100);

/// File descriptors that are not for connections: the model, logs, Redis, traces.
const OTHER_FILES: u64 = 128;

/// A running accept loop.
pub(super) struct Connections {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Connections {
    /// Starts to accept.
    pub(super) fn accept(listener: TcpListener, app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let limits = ConnectionConfig { most: affordable(app.config.connections.most), ..app.config.connections };
        let mut http = http1::Builder::new();
        // The connection's own clock watches the head, as it tells an idle client from a slow one.
        http.header_read_timeout(None).max_buf_size(HEAD_BYTES).half_close(false);
        let metrics = Arc::clone(&app.metrics);
        let shared = Shared { http, router: http::router(app), limits, metrics, stopped };
        let accepting = tokio::spawn(accept_all(listener, shared));
        Self { stop, accepting }
    }

    /// Stops to accept, then waits until each open request has its response.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        let _ = self.accepting.await;
        // Each connection holds a receiver.
        self.stop.closed().await;
    }
}

/// As many connections as the limit of open files leaves room for.
fn affordable(asked: usize) -> usize {
    let room = startup::open_files().saturating_sub(OTHER_FILES + CROWD as u64);
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if room < asked {
        tracing::warn!(connections = room, asked, "fewer connections than asked for: raise the limit of open files");
    }
    asked.min(room)
}

async fn accept_all(listener: TcpListener, mut shared: Shared) {
    let places = Lane::new(shared.limits.most, GRACE);
    let crowd = Lane::new(CROWD, CROWD_GRACE);
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
        let (metrics, shared) = (Arc::clone(&shared.metrics), shared.clone());
        metrics.open_connections.inc();
        tokio::spawn(async move {
            serve(stream, place, crowded, shared).await;
            metrics.open_connections.dec();
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
