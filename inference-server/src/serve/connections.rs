//! Accepts connections and serves HTTP/1.1 on them.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// Open connections at most; more wait in the kernel's backlog. Each costs a file descriptor and
/// some kilobytes, so this bounds memory well before any usual limit of descriptors.
const MOST_CONNECTIONS: usize = 8192;

/// How long a client may take to send its request's head. Idle connections between requests count
/// too, so that they don't keep others out for good.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// Largest request head in bytes.
const HEAD_BYTES: usize = 32 * 1024;

/// A running accept loop.
pub(super) struct Connections {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<GracefulShutdown>,
}

impl Connections {
    /// Starts to accept.
    pub(super) fn accept(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept_all(listener, router, stopped));
        Self { stop, accepting }
    }

    /// Stops to accept, then waits until each open request has its response.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        if let Ok(open) = self.accepting.await {
            open.shutdown().await;
        }
    }
}

async fn accept_all(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES).half_close(false);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return graceful;
        };
        let stream = tokio::select! {
            accepted = accept_one(&listener) => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return graceful,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // An error is a client that sent nonsense or went away; neither concerns the server.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
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
