//! Counts the requests to the API server, by what they do and how they are answered.
//!
//! The layer goes around the whole client, so nothing that the operator sends is missing: watches,
//! the Lease, Events and discovery included.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, Uri};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tower::{BoxError, Layer, Service};

use crate::runtime::{client::TimedOut, request_info::RequestInfo};

/// Seconds. The API server answers most requests within ten milliseconds.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// The `code` of a request that got no answer.
const UNANSWERED: &str = "error";
/// The `code` of a request that got none in time.
const TIMED_OUT: &str = "timeout";

/// The counters. Clones share their values.
#[derive(Clone, Debug)]
pub struct ApiRequests {
    requests: Family<[(&'static str, String); 3], Counter>,
    duration: Family<[(&'static str, &'static str); 1], Histogram>,
}

/// A service that counts what passes through it.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    counters: ApiRequests,
}

/// What a request does, in the words of a `ClusterRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Action {
    verb: &'static str,
    /// Such as `deployments` or `sentimentservices/status`. There are as many as the operator has
    /// kinds, so the label is bounded.
    resource: String,
}

impl ApiRequests {
    /// Counters at zero, in a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let counters =
            Self { requests: Family::default(), duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)) };
        registry.register(
            "api_requests",
            "Requests to the API server by verb, resource and status code (error: no answer, timeout: none in time)",
            counters.requests.clone(),
        );
        registry.register(
            "api_request_duration_seconds",
            "Time until the API server's answer is there, or that of a watch begins, by verb",
            counters.duration.clone(),
        );
        counters
    }

    fn answered(&self, action: Action, code: String, began: Instant) {
        self.duration.get_or_create(&[("verb", action.verb)]).observe(began.elapsed().as_secs_f64());
        let labels = [("verb", action.verb.to_owned()), ("resource", action.resource), ("code", code)];
        self.requests.get_or_create(&labels).inc();
    }
}

impl<S> Layer<S> for ApiRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, counters: self.clone() }
    }
}

impl<S, I, O> Service<Request<I>> for Counted<S>
where
    S: Service<Request<I>, Response = Response<O>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let action = Action::of(request.method(), request.uri());
        let began = Instant::now();
        let counters = self.counters.clone();
        let answer = self.inner.call(request);
        answer.inspect(move |answer| counters.answered(action, code(answer), began)).boxed()
    }
}

impl Action {
    fn of(method: &Method, uri: &Uri) -> Self {
        let Some(RequestInfo { verb, resource, subresource, .. }) = RequestInfo::of(method, uri) else {
            let is_discovery = matches!(uri.path().split('/').nth(1), Some("api" | "apis"));
            return Self { verb: "get", resource: if is_discovery { "discovery" } else { "other" }.to_owned() };
        };
        let resource = match subresource {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        Self { verb, resource }
    }
}

/// The `code` of an answer, or of what came in place of one.
fn code<O>(answer: &Result<Response<O>, BoxError>) -> String {
    match answer {
        Ok(response) => response.status().as_str().to_owned(),
        Err(error) if error.is::<TimedOut>() => TIMED_OUT.to_owned(),
        Err(_) => UNANSWERED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: &Method, uri: &'static str) -> (&'static str, String) {
        let Action { verb, resource } = Action::of(method, &Uri::from_static(uri));
        (verb, resource)
    }

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        let cases = [
            (Method::GET, "/api/v1/pods?labelSelector=a%3Db", "list", "pods"),
            (Method::GET, "/api/v1/pods?&watch=true&timeoutSeconds=180", "watch", "pods"),
            (Method::GET, "/api/v1/namespaces/demo/services?", "list", "services"),
            (Method::GET, "/api/v1/namespaces/demo/services/reviews", "get", "services"),
            (Method::GET, "/apis/apps/v1/namespaces/demo/deployments/reviews", "get", "deployments"),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/demo/deployments/reviews?&fieldManager=x",
                "patch",
                "deployments",
            ),
            (
                Method::PATCH,
                "/apis/kubesentiment.io/v1alpha1/namespaces/demo/sentimentservices/reviews/status",
                "patch",
                "sentimentservices/status",
            ),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/demo/events", "create", "events"),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator", "update", "leases"),
            (
                Method::DELETE,
                "/apis/policy/v1/namespaces/demo/poddisruptionbudgets/a",
                "delete",
                "poddisruptionbudgets",
            ),
            (Method::DELETE, "/api/v1/namespaces/demo/pods", "deletecollection", "pods"),
            (Method::GET, "/api/v1/namespaces/demo", "get", "namespaces"),
            (Method::GET, "/api/v1/namespaces", "list", "namespaces"),
            (Method::PUT, "/api/v1/namespaces/demo/finalize", "update", "namespaces/finalize"),
            (Method::GET, "/apis", "get", "discovery"),
            (Method::GET, "/apis/gateway.networking.k8s.io/v1", "get", "discovery"),
            (Method::GET, "/version", "get", "other"),
        ];
        for (method, uri, verb, resource) in cases {
            assert_eq!(action(&method, uri), (verb, resource.to_owned()), "{method} {uri}");
        }
    }

    #[test]
    fn names_are_no_label() {
        let named = |name: &'static str| action(&Method::GET, name);
        assert_eq!(named("/api/v1/namespaces/a/services/b"), named("/api/v1/namespaces/c/services/watch"));
    }

    #[tokio::test]
    async fn answers_and_failures_are_counted() {
        let mut registry = Registry::default();
        let counters = ApiRequests::register(&mut registry);
        let mut fails = true;
        let mut service = counters.layer(tower::service_fn(move |_: Request<()>| {
            fails = !fails;
            let answer = if fails { Err(BoxError::from("no route to host")) } else { Ok(Response::new(())) };
            async move { answer }
        }));
        for _ in 0..2 {
            let request = Request::get("/api/v1/namespaces/demo/services/reviews").body(()).unwrap();
            let _ = service.call(request).await;
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"api_requests_total{verb="get",resource="services",code="200"} 1"#,
            r#"api_requests_total{verb="get",resource="services",code="error"} 1"#,
            r#"api_request_duration_seconds_count{verb="get"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
    }
}
