//! The client: every request is bounded in time, counted, and sent once.
//!
//! kube's own repetition is off. It would answer 429, 503 and 504 with up to fifteen tries of which nobody sees any but
//! the last: the place of a reconciliation would be taken all the while, and neither back-off nor metrics would know.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::Query;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use http::{Request, Response, StatusCode, Uri, header::RETRY_AFTER, response::Parts};
use http_body_util::{BodyExt, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, DynBody},
};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::{BoxError, Layer, Service, layer::util::Identity, util::BoxService};

use super::request_info::RequestInfo;
use crate::api_requests::ApiRequests;

/// How long a request may take, its answer included. Of a watch, until its answer begins, and as long again after the time
/// that the request gives it: who stands between may drop a connection without a word.
pub const REQUEST: Duration = Duration::from_secs(15);

/// What carries requests to an API server.
pub type Transport = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A request got no whole answer in time.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the API server gave no answer within {} s", REQUEST.as_secs())]
pub struct TimedOut;

/// Connects to an API server.
pub fn connect(config: Config, counters: &ApiRequests) -> kube::Result<Client> {
    connect_through(config, &Identity::new(), counters)
}

/// As [`connect`], with a layer between this program and the API server: for tests.
pub fn connect_through<L, B>(mut config: Config, layer: &L, counters: &ApiRequests) -> kube::Result<Client>
where
    L: Layer<Transport>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(layer).with_layer(&Bounds).with_layer(counters).build())
}

/// A client of what stands in for an API server.
pub fn over<S, B>(service: S, counters: &ApiRequests) -> Client
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    ClientBuilder::new(service, "default").with_layer(&Bounds).with_layer(counters).build()
}

/// Whether a request failed since there was no answer in time.
#[must_use]
pub fn is_timeout(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(error) if error.is::<TimedOut>())
}

/// Bounds requests in time.
#[derive(Clone, Copy, Debug)]
struct Bounds;

/// A service whose requests are bounded in time.
#[derive(Clone, Debug)]
struct Bounded<S>(S);

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded(inner)
    }
}

/// An answer that is there as a whole, or that of a watch, which goes on.
type Answer = Response<Either<Full<Bytes>, UnsyncBoxBody<Bytes, BoxError>>>;

/// What a watch says of its end.
#[derive(Deserialize)]
struct Lasts {
    #[serde(rename = "timeoutSeconds")]
    seconds: u64,
}

/// How long the answer of a watch goes on at most, where the request says so.
fn longest(uri: &Uri) -> Option<Duration> {
    let Query(Lasts { seconds }) = Query::try_from_uri(uri).ok()?;
    Some(Duration::from_secs(seconds) + REQUEST)
}

/// The answer of a watch. At its end it ends as it would if the server had ended it.
fn watched<B>(body: B, longest: Option<Duration>) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let frames = body.map_err(Into::into).into_data_stream().map_ok(Frame::data);
    match longest {
        Some(longest) => StreamBody::new(frames.take_until(sleep_until(Instant::now() + longest))).boxed_unsync(),
        None => StreamBody::new(frames).boxed_unsync(),
    }
}

/// A refusal with the seconds of its `Retry-After` in the body: kube hands on nothing but that. An API server that is
/// overloaded sends a line of text.
fn with_seconds_to_wait(head: &Parts, body: Bytes) -> Bytes {
    let seconds = head.headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse::<u32>().ok());
    let Some(seconds) = seconds.filter(|_| head.status == StatusCode::TOO_MANY_REQUESTS) else { return body };
    let mut status: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status["kind"] != "Status" {
        status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "TooManyRequests",
            "code": head.status.as_u16(), "message": String::from_utf8_lossy(&body).trim(),
        });
    }
    if !status["details"].is_object() {
        status["details"] = json!({});
    }
    status["details"]["retryAfterSeconds"] = Value::from(seconds);
    status.to_string().into()
}

impl<S, I, B> Service<Request<I>> for Bounded<S>
where
    S: Service<Request<I>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let deadline = Instant::now() + REQUEST;
        let is_watch = RequestInfo::of(request.method(), request.uri()).is_some_and(|info| info.verb == "watch");
        let longest = longest(request.uri());
        let answer = self.0.call(request);
        let whole = async move {
            let (head, body) = answer.await?.into_parts();
            // What a watch is refused with ends by itself, and nobody reads it for long.
            let body = if is_watch && head.status.is_success() {
                Either::Right(watched(body, longest))
            } else {
                // kube puts an answer together before it reads it, so this takes no more memory.
                let body = body.collect().await.map_err(Into::into)?.to_bytes();
                Either::Left(Full::new(with_seconds_to_wait(&head, body)))
            };
            Ok(Response::from_parts(head, body))
        };
        async move { timeout_at(deadline, whole).await.unwrap_or_else(|_| Err(TimedOut.into())) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use kube::{Api, api::ListParams};
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::testing::{Fault, Server, requests};

    fn counted(registry: &Registry, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text.lines().any(|found| found == format!("api_requests_total{line}"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_fails_in_time_and_is_counted() {
        let (server, mut registry) = (Server::new(), Registry::default());
        let client = over(server.service(), &ApiRequests::register(&mut registry));
        server.faults().inject(requests("get", "configmaps"), Fault::Unanswered);
        let began = Instant::now();
        let error = Api::<ConfigMap>::namespaced(client, "demo").get("settings").await.unwrap_err();
        assert!(is_timeout(&error), "{error}");
        assert_eq!(began.elapsed(), REQUEST);
        assert!(error.to_string().contains("no answer within 15 s"), "{error}");
        assert!(counted(&registry, r#"{verb="get",resource="configmaps",code="timeout"} 1"#));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_in_its_middle_is_none() {
        let (server, mut registry) = (Server::new(), Registry::default());
        let client = over(server.service(), &ApiRequests::register(&mut registry));
        server.faults().inject(requests("list", "pods"), Fault::StopsInTheMiddle);
        let error = Api::<Pod>::all(client).list(&ListParams::default()).await.unwrap_err();
        assert!(is_timeout(&error), "{error}");
        assert!(counted(&registry, r#"{verb="list",resource="pods",code="timeout"} 1"#));
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_is_seen_and_none_is_asked_for_again() {
        let (server, mut registry) = (Server::new(), Registry::default());
        let client = over(server.service(), &ApiRequests::register(&mut registry));
        for code in [429, 503, 504] {
            server.faults().inject(requests("get", "configmaps").once(), Fault::Answer(code));
            let error = Api::<ConfigMap>::namespaced(client.clone(), "demo").get("settings").await.unwrap_err();
            assert!(matches!(error, kube::Error::Api(status) if status.code == code));
            assert!(counted(&registry, &format!(r#"{{verb="get",resource="configmaps",code="{code}"}} 1"#)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_overloaded_server_asks_for_is_told_with_its_words() {
        let server = Server::new();
        server.faults().inject(requests("get", "configmaps"), Fault::TooManyRequests(7));
        let client = server.client();
        let error = Api::<ConfigMap>::namespaced(client, "demo").get("settings").await.unwrap_err();
        let kube::Error::Api(status) = error else { panic!("{error}") };
        assert_eq!(status.details.as_ref().map(|details| details.retry_after_seconds), Some(7));
        assert_eq!((status.code, status.message.as_str()), (429, "Too many requests, please try again later."));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_goes_on_past_the_bound_of_a_request() {
        use kube::api::WatchParams;

        let (server, mut registry) = (Server::new(), Registry::default());
        let client = over(server.service(), &ApiRequests::register(&mut registry));
        let pods: Api<Pod> = Api::all(client);
        let mut changes = pods.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        tokio::time::sleep(REQUEST * 2).await;
        server.put(
            serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "demo"}}),
        );
        assert!(matches!(changes.try_next().await.unwrap(), Some(kube::api::WatchEvent::Added(_))));

        // A connection that is dropped without a word, by which nothing comes any more.
        server.faults().inject(requests("watch", "pods").once(), Fault::EventsLate(REQUEST * 1000));
        let began = Instant::now();
        let mut silent = pods.watch(&WatchParams::default().timeout(180), "0").await.unwrap().boxed();
        assert!(silent.try_next().await.unwrap().is_none());
        assert_eq!(began.elapsed(), Duration::from_mins(3) + REQUEST);

        server.faults().inject(requests("watch", "pods"), Fault::Unanswered);
        let Err(error) = pods.watch(&WatchParams::default(), "0").await else { panic!("it was answered") };
        assert!(is_timeout(&error), "{error}");
    }

    #[tokio::test]
    async fn an_answer_of_a_real_server_is_not_asked_for_again() {
        use std::sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        };

        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let router = axum::Router::new().fallback(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], "later") }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        let client =
            connect(Config::new(url.parse().unwrap()), &ApiRequests::register(&mut Registry::default())).unwrap();
        let error = Api::<ConfigMap>::namespaced(client, "demo").get("settings").await.unwrap_err();
        assert!(matches!(error, kube::Error::Api(status) if status.code == 429));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
