//! What every call passes: its id and trace, the key, its time, its series, and the bounds of its body.

use std::{sync::Arc, time::Instant};

use axum::http::{HeaderValue, Request, Response};
use futures::TryFutureExt;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use tonic::{Code, Status, body::Body, service::Routes};
use tower::Service as _;
use tracing::Instrument;

use super::{
    arriving::{Arriving, Messages},
    conversation::Conversation,
    deadline,
    error::{self, CallError},
    key,
    methods::{self, Method},
    outgoing::Outgoing,
};
use crate::{
    access::Permit,
    http::{
        App, MODEL_DIGEST,
        correlation::{self, CorrelationId},
        predict_batch::MOST_BYTES,
    },
    inference_log,
    traces::TraceContext,
};

/// All that is served over gRPC.
#[derive(Clone)]
pub struct Calls {
    app: Arc<App>,
    routes: Routes,
}

/// What a handler may have to know of its call.
#[derive(Clone)]
pub(super) struct CallContext {
    pub(super) id: CorrelationId,
    pub(super) trace: TraceContext,
    /// When the answer is of no use to the caller any more, if it has said so.
    pub(super) deadline: Option<Instant>,
    /// When the one answer of a call that is no stream is due.
    pub(super) due: Instant,
    pub(super) messages: Messages,
    pub(super) conversation: Arc<Conversation>,
}

/// Counts an answer that is being made until dropped, also when its client goes.
pub(super) struct Active(Gauge);

impl Active {
    pub(super) fn begin(app: &App) -> Self {
        app.metrics.active_requests.inc();
        Self(app.metrics.active_requests.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Calls {
    pub(super) fn new(app: &Arc<App>, routes: Routes) -> Self {
        Self { app: Arc::clone(app), routes: routes.prepare() }
    }

    /// Answers a call of a connection.
    pub async fn answer(&self, request: Request<Incoming>, conversation: Arc<Conversation>) -> Response<Outgoing> {
        let app = &*self.app;
        let start = Instant::now();
        let method = methods::at(request.uri().path());
        let open = conversation.open();
        // A stream owes its answers one by one.
        let one = (!method.is_stream).then(|| (conversation.owe(), Active::begin(app)));
        let id = CorrelationId::of(request.headers());
        let trace = correlation::trace_of(app, request.headers());
        let span = correlation::span_of(&id, &trace);
        let deadline = deadline::given(request.headers()).and_then(|given| start.checked_add(given));
        let due = due(app, deadline);
        let messages = Messages::default();
        let context = CallContext { id: id.clone(), trace, deadline, due, messages, conversation };

        let answering = self.judge(method, request, context).instrument(span.clone());
        let answered = match app.predictor.log() {
            Some(_) => inference_log::of_request(id.as_str(), answering).await,
            None => answering.await,
        };
        let (mut response, permit) =
            answered.unwrap_or_else(|error| (Status::from(error).into_http(), Permit::default()));

        let headers = response.headers_mut();
        headers.insert(correlation::HEADER, id.into_header());
        for (name, value) in [(correlation::TRACE, Some(trace.to_string())), (MODEL_DIGEST, digest(app))] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        let code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
        let took = start.elapsed();
        // Of a stream of inferences each message counts.
        if method.path != methods::STREAM || code != Code::Ok {
            app.metrics.grpc.observe(method.path, error::name(code), took);
        }
        let milliseconds = took.as_secs_f64() * 1e3;
        span.in_scope(|| tracing::debug!(method = method.path, ?code, milliseconds, "call"));
        let owed = one.map(|(owed, _)| owed);
        response.map(|body| Outgoing::new(body, open, owed, permit))
    }

    /// Answers a call that may be answered.
    async fn judge(
        &self,
        method: &Method,
        request: Request<Incoming>,
        context: CallContext,
    ) -> Result<(Response<Body>, Permit), CallError> {
        let app = &*self.app;
        let mut permit = Permit::default();
        if method.is_guarded {
            if context.conversation.is_crowded() {
                return Err(CallError::TooManyConnections);
            }
            permit = key::require(app, request.headers()).await?;
        }
        let due = context.due;
        let (room, within) = (Arc::clone(&app.bodies), app.config.connections.body);
        let messages = context.messages.clone();
        let mut request =
            request.map(|body| Body::new(Arriving::new(body, method.kind(), MOST_BYTES, within, room, messages)));
        request.extensions_mut().insert(context);
        let mut routes = self.routes.clone();
        let answer = routes.call(request).unwrap_or_else(|never| match never {});
        if method.is_stream {
            return Ok((answer.await, permit));
        }
        let answer = tokio::time::timeout_at(due.into(), answer).await.map_err(|_| CallError::DeadlinePassed)?;
        Ok((answer, permit))
    }
}

/// When an answer that is asked for now is due: by the settings, or by the caller's own deadline.
pub(super) fn due(app: &App, deadline: Option<Instant>) -> Instant {
    let ours = Instant::now() + app.config.request_timeout;
    deadline.map_or(ours, |deadline| deadline.min(ours))
}

fn digest(app: &App) -> Option<String> {
    app.predictor.served()?.digest.get().cloned()
}
