//! What comes before the first request where TLS is spoken.

use std::{io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    activity::{Activity, Phase},
    connection::{REFUSE_WITHIN, linger},
};
use crate::{
    http::{ApiError, refusal},
    metrics::{ConnectionRefusal, Metrics},
    serve::tls::Acceptor,
};

/// First byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

/// How long a handshake may go on when the server stops.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// How a handshake ended.
enum Outcome {
    Secured(Box<TlsStream<TcpStream>>),
    /// The client went before it sent anything, as a probe of the port does.
    Nothing,
    /// The client speaks something else.
    NotTls(TcpStream, u8),
    /// One side refuses the other, which has been told.
    Failed(io::Error, TcpStream),
    Overdue,
    AskedToLeave,
}

/// The encrypted stream, unless the client doesn't get that far within this time. Whoever needs the connection's
/// place gets it.
pub(super) async fn shake_hands(
    stream: TcpStream,
    tls: &Acceptor,
    within: Duration,
    activity: &Activity,
    metrics: &Metrics,
    stopped: &mut watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let deadline = Instant::now() + within;
    let stopping = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(FINISH_WITHIN).await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = attempt(stream, tls) => outcome,
        () = sleep_until(deadline) => Outcome::Overdue,
        () = stopping => Outcome::Overdue,
        () = activity.asked_to_leave() => Outcome::AskedToLeave,
    };
    let (reason, stream, answer) = match outcome {
        Outcome::Secured(stream) => {
            // The time of the first head begins.
            activity.enter(Phase::Head);
            return Some(*stream);
        }
        Outcome::Nothing => return None,
        Outcome::NotTls(stream, first) => {
            tracing::debug!(first, "a client speaks no TLS");
            let answer = first.is_ascii_alphabetic().then(|| refusal(&ApiError::NotHttps));
            (ConnectionRefusal::Handshake, Some(stream), answer)
        }
        Outcome::Failed(error, stream) => {
            tracing::debug!(%error, "a TLS handshake failed");
            (ConnectionRefusal::Handshake, Some(stream), None)
        }
        Outcome::Overdue => {
            tracing::debug!("a TLS handshake took too long");
            (ConnectionRefusal::Handshake, None, None)
        }
        Outcome::AskedToLeave => (ConnectionRefusal::Limit, None, None),
    };
    metrics.refuse_connection(reason);
    if let Some(stream) = stream {
        tokio::select! {
            () = tell(stream, answer.unwrap_or_default()) => {}
            () = activity.asked_to_leave() => {}
        }
    }
    None
}

async fn attempt(stream: TcpStream, tls: &Acceptor) -> Outcome {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Outcome::Nothing,
        Ok(_) if first[0] != HANDSHAKE => return Outcome::NotTls(stream, first[0]),
        Ok(_) => {}
    }
    match tls.current().accept(stream).into_fallible().await {
        Ok(stream) => Outcome::Secured(Box::new(stream)),
        Err((error, stream)) => Outcome::Failed(error, stream),
    }
}

/// Lets the client read the answer, or what TLS has sent it.
async fn tell(mut stream: TcpStream, answer: Vec<u8>) {
    let _ = timeout(REFUSE_WITHIN, stream.write_all(&answer)).await;
    linger(stream).await;
}
