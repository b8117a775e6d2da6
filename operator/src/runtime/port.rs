//! The operator's port: few connections, each with one request and little time.
//!
//! Probes and a Prometheus are all that comes here. Whoever else gets through must neither keep them out nor take memory
//! without end: when all places are taken, the oldest connection has to leave.

use std::{collections::VecDeque, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at a time.
const MOST: usize = 64;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take from its first byte to its last. No request is followed by another.
const CONNECTION: Duration = Duration::from_secs(15);

/// Largest request head in bytes. Bodies are read by nobody.
const HEAD_BYTES: usize = 16 * 1024;

/// How long requests may go on when the process ends.
const LAST: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled and what was asked until then is answered.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut places: VecDeque<AbortHandle> = VecDeque::with_capacity(MOST);
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: others must finish first.
                    tracing::warn!(%error, "can't accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        places.retain(|place| !place.is_finished());
        if places.len() >= MOST
            && let Some(oldest) = places.pop_front()
        {
            oldest.abort();
        }
        places.push_back(connections.spawn(answer(stream, router.clone())));
    }
    drop(listener);
    let _ = timeout(LAST, async { while connections.join_next().await.is_some() {} }).await;
}

async fn answer(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    /// More than any buffer on the way.
    const LARGE: usize = 16 * 1024 * 1024;

    async fn served() -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router =
            Router::new().route("/", get(|| async { "ok\n" })).route("/large", get(|| async { vec![0; LARGE] }));
        let serving = tokio::spawn(serve(listener, router, stop.clone()));
        (address, stop, serving)
    }

    async fn ask(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    const ASK: &str = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    #[tokio::test]
    async fn a_request_is_answered_and_the_connection_ends() {
        let (address, stop, serving) = served().await;
        let answer = ask(address, ASK).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        stop.cancel();
        timeout(Duration::from_secs(1), serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn idle_connections_keep_nobody_out() {
        let (address, _stop, _serving) = served().await;
        let mut idle = Vec::new();
        for _ in 0..3 * MOST {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let began = Instant::now();
        assert!(ask(address, ASK).await.ends_with("ok\n"));
        assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
        // The oldest had to leave.
        let mut byte = [0];
        let read = timeout(Duration::from_secs(1), idle[0].read(&mut byte)).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn a_head_that_comes_slowly_is_cut_off() {
        let (address, _stop, _serving) = served().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        let _ = timeout(HEAD * 2, stream.read_to_end(&mut answer)).await.expect("it was left open");
        assert!((HEAD.mul_f64(0.9)..HEAD * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(!String::from_utf8_lossy(&answer).contains("200"));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let (address, stop, serving) = served().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        sleep(CONNECTION + Duration::from_secs(1)).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it was left open");
        assert!(answer.len() < LARGE, "it waited for {} bytes to be read", answer.len());
        stop.cancel();
        timeout(Duration::from_secs(1), serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_body_is_not_read_and_a_long_head_is_refused() {
        let (address, _stop, _serving) = served().await;
        let announced = "GET / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000000000\r\n\r\n";
        assert!(ask(address, announced).await.starts_with("HTTP/1.1 200 OK"));
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES));
        assert!(!ask(address, &long).await.contains("200 OK"));
    }
}
