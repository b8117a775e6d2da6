//! The HTTP API.

pub(crate) mod auth;
mod batch_jobs;
pub(crate) mod bodies;
pub(crate) mod correlation;
mod crowd;
mod deadline;
mod details;
mod docs;
mod drift;
mod elements;
pub(crate) mod error;
mod explain;
mod feedback;
mod fields;
mod health;
mod info;
mod inputs;
mod kserve;
mod not_found;
mod observe;
mod oip;
mod openapi;
mod playground;
mod predict;
pub(crate) mod predict_batch;
mod protocols;
pub(crate) mod rows;
mod secret_files;
mod state;
mod tei;
mod texts;
mod traced;
mod vllm;
mod whole;
mod zero_shot;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

pub use batch_jobs::{JobError, run_jobs};
pub use bodies::BodyLeftUnread;
use correlation::Correlated;
pub use correlation::CorrelationId;
pub use crowd::Crowded;
pub use error::{ApiError, refusal};
use observe::Observed;
pub use secret_files::watch_secret_files;
pub use state::App;
use traced::Traced;

use crate::{inference_log, protocol::Protocol, traces};

/// The digest of the model that answers.
pub(crate) const MODEL_DIGEST: HeaderName = HeaderName::from_static("x-model-digest");

/// Routes that document themselves.
type Routes = OpenApiRouter<Arc<App>>;

/// What callers ask, behind correlation, metrics, CORS and the API key.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = documented(app, Port::Public);
    if !app.config.allowed_origins.is_empty() {
        router = router.layer(cors(app));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(app), around_every_request))
}

/// What those who run the service ask where that has a port of its own, without the key.
pub fn management_router(app: &Arc<App>) -> Router {
    documented(app, Port::Management).layer(middleware::from_fn_with_state(Arc::clone(app), around_every_request))
}

/// The routes of a port with their documentation, and an answer to every other path.
fn documented(app: &Arc<App>, port: Port) -> Router {
    let (router, document) = port.routes(app).split_for_parts();
    let pages = docs::paths(app);
    let paths = |document| not_found::Routes::of(document, pages.iter().map(String::as_str));
    let mut known = paths(&document);
    if let Some(management) = app.config.management_port {
        let (other, number) = match port {
            Port::Public => (Port::Management, management),
            Port::Management => (Port::Public, app.config.port),
        };
        known = known.with_other(number, paths(&other.routes(app).into_openapi()));
    }
    let known = Arc::new(known);
    let router = if port == Port::Public { router.merge(playground::routes(app)) } else { router };
    router
        .merge(docs::routes(app, &openapi::complete(document, app, port)))
        .fallback(move |request: Request| async move { known.answer(&request) })
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(app))
}

/// What every request passes. One layer, since each of axum's costs some ten allocations a request,
/// which in an overload are most of what a refusal costs. It lies around the routes, so that it knows
/// their templates, by which the series are labelled.
async fn around_every_request(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let correlated = Correlated::begin(&app, &mut request);
    let traced = Traced::begin(&app, &request);
    let observed = Observed::begin(&app, &request);
    let (request, receipt) = bodies::watch(&app, request);

    let answering = traced.run(next.run(request)).instrument(correlated.span.clone());
    let response = match app.predictor.log() {
        Some(_) => inference_log::of_request(correlated.id(), answering).await,
        None => answering.await,
    };

    let response = match receipt {
        Some(receipt) => receipt.judge(response),
        None => response,
    };
    let response = with_digest(&app, response);
    let response = correlated.span.in_scope(|| observed.end(response));
    traced.end(response.status());
    correlated.end(response)
}

/// Says which model answers, once that is known.
fn with_digest(app: &App, mut response: Response) -> Response {
    let model = app.predictor.served();
    let digest = model.as_ref().and_then(|model| model.digest.get());
    if let Some(digest) = digest.and_then(|digest| HeaderValue::from_str(digest).ok()) {
        response.headers_mut().insert(MODEL_DIGEST, digest);
    }
    response
}

/// Who is served: callers, or those who run the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// The one that there always is.
    Public,
    /// The operations side's own, if it has one.
    Management,
}

impl Port {
    /// Every route that is documented.
    fn routes(self, app: &Arc<App>) -> Routes {
        let service = service(app, self);
        match self {
            Self::Public => protocols::served(app)
                .fold(guarded(app, keyed(app)).merge(service), |all, spoken| all.merge((spoken.open)())),
            // It names files, so callers need the key for it. Who is let to this port may know them.
            Self::Management => service.routes(under(app.config.prefix(), routes!(info::model_info))),
        }
    }
}

/// What callers need the key for.
fn keyed(app: &App) -> Routes {
    let api = |route| under(app.config.prefix(), route);
    let mut routes = OpenApiRouter::new().routes(api(routes!(info::model_info))).routes(api(routes!(drift::drift)));
    if app.config.protocols.has(Protocol::Native) {
        if !tei::shares_predict(app) {
            routes = routes.routes(api(routes!(predict::predict)));
        }
        routes = routes
            .routes(api(routes!(predict_batch::predict_batch)))
            .routes(api(routes!(zero_shot::zero_shot)))
            .routes(api(routes!(batch_jobs::submit)))
            .routes(api(routes!(batch_jobs::status)))
            .routes(api(routes!(batch_jobs::results)))
            .routes(api(routes!(batch_jobs::cancel)))
            .routes(api(routes!(batch_jobs::figures)))
            .routes(api(routes!(batch_jobs::queue_status)))
            .routes(api(routes!(explain::explain)))
            .routes(api(routes!(feedback::feedback)));
    }
    protocols::served(app).fold(routes, |all, spoken| all.merge((spoken.keyed)(app)))
}

/// What probes, load balancers and scrapers ask. Where those who run the service ask, there are the series and the
/// details too.
fn service(app: &App, port: Port) -> Routes {
    let inside = port == Port::Management || app.config.management_port.is_none();
    let has_page = port == Port::Public && playground::is_served(app);
    let api = |route| under(app.config.prefix(), route);
    let mut routes = OpenApiRouter::new()
        .routes(api(routes!(health::health)))
        .routes(api(routes!(health::ready)))
        .routes(if has_page { routes!(playground::root) } else { routes!(info::root) });
    routes = protocols::served(app).fold(routes, |all, spoken| all.merge((spoken.probes)()));
    let series = inside && app.config.metrics_enabled;
    if inside {
        routes = routes.routes(api(routes!(health::details)));
    }
    if series {
        routes = routes.routes(api(routes!(info::metrics)));
    }
    if !app.config.top_level_paths {
        return routes;
    }
    // Without a prefix the routes themselves are there.
    if !app.config.prefix().is_empty() {
        routes = routes.routes(at("/health", "top_health", routes!(health::health))).routes(at(
            "/ready",
            "top_ready",
            routes!(health::ready),
        ));
        if series {
            routes = routes.routes(at("/metrics", "top_metrics", routes!(info::metrics)));
        }
    }
    routes
        .routes(at("/healthz", "healthz", routes!(health::health)))
        .routes(at("/livez", "livez", routes!(health::health)))
        .routes(at("/readyz", "readyz", routes!(health::ready)))
}

/// A route below a prefix. Nesting a router would cut the prefix from each request's path.
fn under(prefix: &str, (schemas, mut paths, methods): UtoipaMethodRouter<Arc<App>>) -> UtoipaMethodRouter<Arc<App>> {
    paths.paths = paths.paths.into_iter().map(|(path, item)| (format!("{prefix}{path}"), item)).collect();
    (schemas, paths, methods)
}

/// A route at another path, where it is another operation.
fn at(
    path: &str,
    id: &str,
    (schemas, mut paths, methods): UtoipaMethodRouter<Arc<App>>,
) -> UtoipaMethodRouter<Arc<App>> {
    paths.paths = paths.paths.into_values().map(|item| (path.to_owned(), item)).collect();
    for (_, operation) in openapi::operations_of(&mut paths) {
        operation.operation_id = Some(id.to_owned());
    }
    (schemas, paths, methods)
}

/// Behind the API key and its limits, only while there are places for connections, and for no longer than a request may take.
fn guarded(app: &Arc<App>, routes: Routes) -> Routes {
    let routes = openapi::guarded(routes, app);
    routes.layer(middleware::from_fn_with_state(Arc::clone(app), guard))
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, ApiError> {
    crowd::refuse_crowd(&request)?;
    let permit = auth::require_key(&app, request.headers()).await?;
    let response = deadline::within_time(&app, request, next).await?;
    Ok(auth::hold_until_sent(response, permit))
}

fn cors(app: &App) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(app.config.allowed_origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            auth::API_KEY,
            header::AUTHORIZATION,
            correlation::HEADER,
            traces::PARENT,
            traces::STATE,
            oip::BINARY,
        ])
        .expose_headers([
            correlation::HEADER,
            correlation::TRACE,
            MODEL_DIGEST,
            predict::INFERENCE_TIME,
            predict::BACKEND,
            oip::BINARY,
        ])
        .max_age(Duration::from_mins(10))
}
