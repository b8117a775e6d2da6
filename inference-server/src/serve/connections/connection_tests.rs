use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use futures::StreamExt;
use socket2::SockRef;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::either::Either;

use super::{super::places::Places, *};
use crate::{
    secrets::{Identity, Live},
    serve::tls::HTTP_1,
};

/// The same rules hold over TLS as without.
const EACH: [bool; 2] = [false, true];

/// Far more than the buffers of a connection take: the server's is made small, and the client's grows
/// only as it reads.
const LARGE: usize = 1 << 20;
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(50);

const LIMITS: ConnectionConfig = ConnectionConfig { most: 1, head: LONG, body: LONG, keep_alive: LONG, write: LONG };

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| b"0123456789abcdef"[at % 16]).collect()
}

struct Connected {
    client: Either<TcpStream, TlsStream<TcpStream>>,
    /// What was read of the client's before all of it.
    seen: Vec<u8>,
    activity: Arc<Activity>,
    places: Arc<Places>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Connected {
    async fn to(secured: bool, router: Router, limits: ConnectionConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        SockRef::from(&stream).set_send_buffer_size(64 << 10).unwrap();
        let places = Places::new(1, Duration::ZERO);
        let place = places.enter().unwrap();
        let activity = Arc::clone(&place.activity);
        let (stop, stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::new());
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).half_close(false);
        let (tls, connector) = if secured { Some(encryption()) } else { None }.unzip();
        let shared = Shared { http, router, limits, metrics, stopped, tls };
        let serving = tokio::spawn(serve(stream, place, false, shared));
        let client = match connector {
            Some(connector) => {
                let name = ServerName::try_from("localhost").unwrap();
                Either::Right(connector.connect(name, client).await.unwrap())
            }
            None => Either::Left(client),
        };
        Self { client, seen: Vec::new(), activity, places, stop, serving }
    }

    async fn send(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn until(&self, phase: Phase) {
        let reached = async {
            while self.activity.phase().0 != phase {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, reached).await.unwrap();
    }

    /// What the server sends until it closes: status and body of each response.
    async fn rest(&mut self) -> Vec<(u16, Vec<u8>)> {
        let mut bytes = std::mem::take(&mut self.seen);
        timeout(LONG, self.client.read_to_end(&mut bytes)).await.unwrap().unwrap();
        responses(&bytes)
    }
}

/// Both sides of a certificate.
fn encryption() -> (Arc<Acceptor>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::parse(&made.cert.pem(), &made.signing_key.serialize_pem(), None).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let acceptor = Acceptor::new(Arc::new(Live::fixed(identity)), HTTP_1);
    (Arc::new(acceptor), TlsConnector::from(Arc::new(client)))
}

/// Takes bytes apart that have to be whole responses and nothing else.
fn responses(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(body) = head.parse(bytes).unwrap() else { panic!("half a head") };
        let find = |name: &str| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        assert!(find("transfer-encoding").is_none());
        let length = find("content-length").map_or(0, |header| str::from_utf8(header.value).unwrap().parse().unwrap());
        assert!(bytes.len() - body >= length, "a body that is cut");
        all.push((head.code.unwrap(), bytes[body..body + length].to_vec()));
        bytes = &bytes[body + length..];
    }
    all
}

fn statuses(responses: &[(u16, Vec<u8>)]) -> Vec<u16> {
    responses.iter().map(|(status, _)| *status).collect()
}

fn routes() -> Router {
    Router::new()
        .route("/large", get(|| async { large() }))
        .route("/small", get(|| async { "small" }).post(|body: String| async { body }))
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
        .route("/empty", get(|| async {}))
}

/// The head's clock begins when the response has been sent, so the refusal comes behind it.
#[tokio::test]
async fn a_byte_that_comes_while_a_response_is_taken_slowly_is_refused_behind_it() {
    for secured in EACH {
        let mut connected = Connected::to(secured, routes(), ConnectionConfig { head: SHORT, ..LIMITS }).await;
        connected.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
        connected.until(Phase::Response).await;
        connected.send("G").await;
        tokio::time::sleep(SHORT * 5).await;
        assert_eq!(connected.activity.phase().0, Phase::Response);
        let received = connected.rest().await;
        assert_eq!(statuses(&received), [200, 408]);
        assert!(received[0].1 == large());
    }
}

#[tokio::test]
async fn a_byte_that_comes_between_two_parts_of_a_response_is_refused_behind_it() {
    for secured in EACH {
        let (more, parts) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
        let parts = Arc::new(std::sync::Mutex::new(Some(parts)));
        let stream = move || {
            let parts = parts.lock().unwrap().take().unwrap();
            let parts =
                futures::stream::unfold(parts, |mut parts| async { parts.recv().await.map(|part| (part, parts)) });
            let body = Body::from_stream(parts.map(Ok::<_, Infallible>));
            std::future::ready(([(header::CONTENT_LENGTH, "8")], body).into_response())
        };
        let router = Router::new().route("/", get(stream));
        let mut connected = Connected::to(secured, router, ConnectionConfig { head: SHORT, ..LIMITS }).await;
        connected.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        more.send("half").unwrap();
        while connected.seen.len() < "HTTP/1.1 200 OK".len() {
            connected.client.read_buf(&mut connected.seen).await.unwrap();
        }
        connected.send("G").await;
        tokio::time::sleep(SHORT * 5).await;
        more.send("half").unwrap();
        drop(more);
        let received = connected.rest().await;
        assert_eq!(statuses(&received), [200, 408]);
        assert_eq!(received[0].1, b"halfhalf");
    }
}

#[tokio::test]
async fn one_that_has_to_make_place_or_stop_sends_its_response_to_the_end_and_nothing_more() {
    for secured in EACH {
        for stop in [false, true] {
            let mut connected = Connected::to(secured, routes(), LIMITS).await;
            connected.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
            connected.until(Phase::Response).await;
            connected.send("G").await;
            if stop {
                connected.stop.send_replace(true);
            } else {
                connected.places.enter().unwrap();
            }
            tokio::time::sleep(SHORT).await;
            let received = connected.rest().await;
            assert_eq!(statuses(&received), [200]);
            assert!(received[0].1 == large());
        }
    }
}

#[tokio::test]
async fn a_half_head_is_refused_in_words_for_its_place_and_for_its_time() {
    for secured in EACH {
        let mut connected = Connected::to(secured, routes(), LIMITS).await;
        connected.send("GET /small HTTP/1.1\r\nhost: x\r\n\r\n").await;
        connected.until(Phase::Idle).await;
        connected.send("G").await;
        connected.until(Phase::Head).await;
        connected.places.enter().unwrap();
        assert_eq!(statuses(&connected.rest().await), [200, 503]);

        let mut connected = Connected::to(secured, routes(), ConnectionConfig { head: SHORT, ..LIMITS }).await;
        connected.send("POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").await;
        connected.until(Phase::Idle).await;
        connected.send("GET").await;
        assert_eq!(statuses(&connected.rest().await), [200, 408]);

        // In one piece with the request before it, however that ends.
        for request in [
            "GET /small HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody",
            "POST /small HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ] {
            let mut connected = Connected::to(secured, routes(), ConnectionConfig { head: SHORT, ..LIMITS }).await;
            connected.send(&format!("{request}GET")).await;
            assert_eq!(statuses(&connected.rest().await), [200, 408], "{request}");
        }
    }
}

#[tokio::test]
async fn responses_of_every_kind_end_their_request() {
    for secured in EACH {
        let mut connected = Connected::to(secured, routes(), LIMITS).await;
        for (request, status) in [
            ("GET /small HTTP/1.1\r\n", 200),
            ("HEAD /nothing HTTP/1.1\r\n", 204),
            ("GET /nothing HTTP/1.1\r\n", 204),
            ("GET /empty HTTP/1.1\r\n", 200),
            ("GET /small HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n", 200),
            ("OPTIONS * HTTP/1.1\r\n", 404),
            ("POST /small HTTP/1.1\r\ncontent-length: 5\r\n", 200),
            ("POST /small HTTP/1.1\r\ntransfer-encoding: chunked\r\n", 200),
        ] {
            let body = if request.contains("length") {
                "small"
            } else if request.contains("chunked") {
                "5\r\nsmall\r\n0\r\n\r\n"
            } else {
                ""
            };
            connected.send(&format!("{request}host: x\r\n\r\n{body}")).await;
            let mut seen = vec![0; 1024];
            let read = connected.client.read(&mut seen).await.unwrap();
            connected.until(Phase::Idle).await;
            assert_eq!(statuses(&responses(&seen[..read])), [status], "{request}");
        }
        connected.client.shutdown().await.unwrap();
        timeout(LONG, connected.serving).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_one_after_the_other() {
    for secured in EACH {
        let mut connected = Connected::to(secured, routes(), ConnectionConfig { keep_alive: SHORT, ..LIMITS }).await;
        let post = "POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
        let requests = format!("GET /large HTTP/1.1\r\nhost: x\r\n\r\n{post}GET /small HTTP/1.1\r\nhost: x\r\n\r\n");
        connected.send(&requests.repeat(3)).await;
        let received = connected.rest().await;
        assert_eq!(statuses(&received), [200; 9]);
        let bodies: Vec<&[u8]> = received.iter().map(|(_, body)| body.as_slice()).collect();
        assert!(bodies.chunks(3).all(|three| three == [&large()[..], b"body", b"small"]));
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_or_too_little_is_let_go() {
    for secured in EACH {
        let mut deaf = Connected::to(secured, routes(), ConnectionConfig { write: SHORT, ..LIMITS }).await;
        deaf.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
        timeout(LONG, &mut deaf.serving).await.unwrap().unwrap();

        let limits = ConnectionConfig { write: SHORT * 4, keep_alive: SHORT * 4, ..LIMITS };
        let mut slow = Connected::to(secured, routes(), limits).await;
        slow.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut taken = 0;
        let mut some = [0; 2048];
        // All of it would take seconds.
        while let Ok(read @ 1..) = slow.client.read(&mut some).await {
            taken += read;
            tokio::time::sleep(SHORT / 10).await;
        }
        assert!(taken < LARGE, "a client may take as long as it likes");
        timeout(LONG, slow.serving).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_client_that_goes_ends_its_request() {
    for secured in EACH {
        let router = Router::new().route("/", post(std::future::pending::<()>));
        let mut gone = Connected::to(secured, router, LIMITS).await;
        gone.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
        gone.until(Phase::Request).await;
        drop(gone.client);
        timeout(LONG, gone.serving).await.unwrap().unwrap();
    }
}
