//! Asks a pod by HTTP. Whatever answers there is given little time and little room.

use std::{net::SocketAddr, time::Duration};

use axum::body::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{Answer, AskPods, Digest, NoAnswer};

/// How long a question may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(3);

/// Largest head of an answer in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Largest body of an answer in bytes. It lists the classes of the model.
const BODY_BYTES: usize = 256 * 1024;

/// The header that has the digest on every answer.
const HEADER: &str = "x-model-digest";

/// Asks the servers in the pods themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

/// What is read of a server's description.
#[derive(Deserialize)]
struct ModelInfo {
    model_digest: Option<String>,
}

impl AskPods for Http {
    fn ask(&self, pod: SocketAddr, path: String) -> BoxFuture<'static, Answer> {
        async move { timeout(PATIENCE, exchange(pod, &path)).await.unwrap_or(Err(NoAnswer::Late)) }.boxed()
    }
}

async fn exchange(pod: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(pod).await?;
    let mut builder = http1::Builder::new();
    let (mut sender, connection) = builder.max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    // It ends with this function.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(path).header(header::HOST, pod.to_string()).header(header::CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| NoAnswer::Unreadable(error.to_string()))?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(NoAnswer::Status(answer.status()));
    }
    if let Some(digest) = of_header(answer.headers()) {
        return digest.map(Some);
    }
    let body = Limited::new(answer.into_body(), BODY_BYTES).collect().await;
    let body = body.map_err(|error| NoAnswer::Unreadable(error.to_string()))?.to_bytes();
    let info: ModelInfo = serde_json::from_slice(&body).map_err(|error| NoAnswer::Unreadable(error.to_string()))?;
    info.model_digest.map(|text| parse(&text)).transpose()
}

fn of_header(headers: &HeaderMap) -> Option<Result<Digest, NoAnswer>> {
    headers.get(HEADER).map(|value| parse(value.to_str().unwrap_or_default()))
}

/// What an answer holds instead isn't told: it may be anything.
fn parse(text: &str) -> Result<Digest, NoAnswer> {
    Digest::parse(text).ok_or_else(|| NoAnswer::Unreadable("its digest is no SHA-256".to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    /// A server that says this to whoever comes, and what it was asked.
    async fn answered(said: String) -> (Answer, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            // Who has heard enough hangs up.
            let _ = stream.write_all(said.as_bytes()).await;
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let answer = Http.ask(pod, "/api/v1/model-info".to_owned()).await;
        (answer, serving.await.unwrap())
    }

    fn json(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[tokio::test]
    async fn a_pod_tells_its_digest_in_the_head_or_in_the_body() {
        let head = format!("HTTP/1.1 200 OK\r\nX-Model-Digest: {}\r\ncontent-length: 2\r\n\r\n{{}}", digest());
        let body = json(&format!(r#"{{"model_name": "a", "model_digest": "{}"}}"#, digest()));
        for said in [head, body] {
            let (answer, asked) = answered(said).await;
            assert_eq!(answer.unwrap(), Digest::parse(&digest()));
            assert!(asked.starts_with("GET /api/v1/model-info HTTP/1.1\r\n"), "{asked}");
        }
    }

    #[tokio::test]
    async fn an_older_server_has_nothing_to_tell() {
        assert_eq!(answered(json(r#"{"model_name": "a"}"#)).await.0.unwrap(), None);
        assert_eq!(answered(json(r#"{"model_digest": null}"#)).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn what_a_hostile_server_says_is_bounded_and_goes_nowhere() {
        let large = json(&format!(r#"{{"model_digest": "{}"}}"#, "a".repeat(2 * BODY_BYTES)));
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(2 * HEAD_BYTES));
        for said in [
            large,
            endless,
            json(r#"{"model_digest": "sha256:evil"}"#),
            json(r#"{"model_digest": 7}"#),
            json("[]"),
            "HTTP/1.1 200 OK\r\nx-model-digest: no\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "SSH-2.0-OpenSSH\r\n".to_owned(),
            String::new(),
        ] {
            let error = answered(said.clone()).await.0.unwrap_err().to_string();
            assert!(!error.contains("evil") && error.len() < 200, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let began = Instant::now();
        let answer = Http.ask(listener.local_addr().unwrap(), "/".to_owned()).await;
        assert!(matches!(answer, Err(NoAnswer::Late)));
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
