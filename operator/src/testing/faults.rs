//! Faults between a client and an API server.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use http::{Request, Response, StatusCode, header::RETRY_AFTER, response::Builder};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as HttpBody, Frame};
use serde_json::json;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service};

use super::{AnswerBody, boxed, events, matching::Matching};
use crate::{lock::lock, runtime::request_info::RequestInfo};

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It never reaches the server, and is answered by this code.
    Answer(u16),
    /// It never reaches the server, and is refused with this code in these words. `{}` in them is how often requests met
    /// this fault: words that differ each time.
    Refused(u16, &'static str),
    /// It never reaches the server, and is answered as an overloaded one does it: 429, the seconds to wait in a header, and
    /// a line of text.
    TooManyRequests(u64),
    /// The connection ends before the server has it.
    CutBeforeActing,
    /// The server does it, and the connection ends before the answer is there.
    CutAfterActing,
    /// The server has it only after this time.
    Delayed(Duration),
    /// The server does it at once, and the answer takes this time.
    AnsweredLate(Duration),
    /// The server never has it, and there is no answer.
    Unanswered,
    /// The head of an answer comes and half of the body, and the rest never does.
    StopsInTheMiddle,
    /// Of a list, each page but the first takes this time.
    LaterPagesLate(Duration),
    /// Of a watch, events come after this time.
    EventsLate(Duration),
    /// Of a watch, the first so many events never come.
    EventsDropped(usize),
    /// Of a watch, each event comes twice.
    EventsRepeated,
    /// Of a watch, what happens to an object within this time is one event, the last.
    EventsCoalesced(Duration),
    /// Of a watch, after so many events it is said that what comes next is forgotten: an event `ERROR` with 410.
    Expires(usize),
}

/// The faults in force, and the requests that were made. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    matching: Matching,
    fault: Fault,
    met: usize,
}

impl Faults {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has requests meet a fault from now on. Of several for the same request, the first is met.
    pub fn inject(&self, matching: Matching, fault: Fault) {
        lock(&self.0).rules.push(Rule { matching, fault, met: 0 });
    }

    /// Ends all faults for requests to come.
    pub fn heal(&self) {
        lock(&self.0).rules.clear();
    }

    /// All requests so far, each as `VERB RESOURCE` or `VERB RESOURCE/NAME`, with `/SUBRESOURCE` behind it.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        lock(&self.0).seen.clone()
    }

    /// How many requests so far were for this, in the words of [`seen`](Self::seen).
    #[must_use]
    pub fn count(&self, request: &str) -> usize {
        lock(&self.0).seen.iter().filter(|seen| *seen == request).count()
    }

    fn meet(&self, request: &RequestInfo<'_>) -> Option<(Fault, usize)> {
        let parts = [Some(request.resource), request.name, request.subresource];
        let asked = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
        let mut state = lock(&self.0);
        state.seen.push(format!("{} {asked}", request.verb));
        let mut found = None;
        for rule in state.rules.iter_mut().filter(|rule| rule.matching.is_met_by(request)) {
            if found.is_none() && rule.matching.means(rule.met) {
                found = Some((rule.fault.clone(), rule.met));
            }
            rule.met += 1;
        }
        found
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { inner, faults: self.clone() }
    }
}

/// A service whose requests meet faults.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

type Answer = Result<Response<AnswerBody>, BoxError>;

impl<S, I, B> Service<Request<I>> for Faulty<S>
where
    S: Service<Request<I>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let fault = RequestInfo::of(request.method(), request.uri()).and_then(|info| self.faults.meet(&info));
        let is_later_page = request.uri().query().unwrap_or_default().contains("continue=");
        let (fault, met) = fault.unzip();
        let fault = match fault {
            Some(Fault::Answer(code)) => {
                return async move { refusal(code, &format!("a fault of the test: {}", reason(code))) }.boxed();
            }
            Some(Fault::Refused(code, words)) => {
                let words = words.replace("{}", &met.unwrap_or_default().to_string());
                return async move { refusal(code, &words) }.boxed();
            }
            Some(Fault::TooManyRequests(seconds)) => return async move { overloaded(seconds) }.boxed(),
            Some(Fault::CutBeforeActing) => return async { Err("the connection was cut".into()) }.boxed(),
            Some(Fault::Unanswered) => return pending().boxed(),
            Some(Fault::LaterPagesLate(_)) if !is_later_page => None,
            fault => fault,
        };
        let answer = self.inner.call(request);
        async move {
            if let Some(Fault::Delayed(time) | Fault::LaterPagesLate(time)) = fault {
                sleep(time).await;
            }
            let (head, body) = answer.await?.into_parts();
            let body = match fault {
                Some(Fault::CutAfterActing) => {
                    // What a real server does is done when its whole answer is there.
                    drop(body.collect().await);
                    return Err("the connection was cut".into());
                }
                Some(Fault::AnsweredLate(time)) => {
                    sleep(time).await;
                    boxed(body)
                }
                Some(Fault::StopsInTheMiddle) => halved(body).await?,
                Some(fault) if head.status.is_success() => events::disturb(body, &fault),
                _ => boxed(body),
            };
            Ok(Response::from_parts(head, body))
        }
        .boxed()
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}

fn refusal(code: u16, words: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason(code), "message": words,
    });
    answer(Response::builder().status(StatusCode::from_u16(code)?), body.to_string())
}

/// As `k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go` has it.
fn overloaded(seconds: u64) -> Answer {
    let head = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, seconds);
    answer(head, "Too many requests, please try again later.\n".to_owned())
}

fn answer(head: Builder, body: String) -> Answer {
    Ok(head.body(boxed(Full::new(Bytes::from(body))))?)
}

async fn halved<B>(body: B) -> Result<AnswerBody, BoxError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut bytes = body.collect().await.map_err(Into::into)?.to_bytes();
    bytes.truncate(bytes.len() / 2);
    let half = stream::once(async move { Ok::<_, BoxError>(Frame::data(bytes)) });
    Ok(boxed(StreamBody::new(half.chain(stream::pending()))))
}
