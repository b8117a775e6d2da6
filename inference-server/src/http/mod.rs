//! The HTTP API.

mod auth;
mod batch_jobs;
mod bodies;
mod correlation;
mod crowd;
mod docs;
mod drift;
mod error;
mod explain;
mod feedback;
mod fields;
mod health;
mod info;
mod observe;
mod openapi;
mod predict;
mod predict_batch;
mod protocol;
mod secret_files;
mod state;
mod texts;
mod timeout;
mod traced;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, header},
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
pub use state::{App, Serving};
use traced::Traced;

use crate::traces;

/// Routes that document themselves.
type Routes = OpenApiRouter<Arc<App>>;

/// Every route, behind correlation, metrics, CORS and the API key.
pub fn router(app: &Arc<App>) -> Router {
    let (router, document) = routes(app).split_for_parts();
    let mut router = router
        .merge(docs::routes(app, &openapi::complete(document, app)))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(app));
    if !app.config.allowed_origins.is_empty() {
        router = router.layer(cors(app));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(app), around_every_request))
}

/// What every request passes. One layer, since each of axum's costs some ten allocations a request,
/// which in an overload are most of what a refusal costs. It lies around the routes, so that it knows
/// their templates, by which the series are labelled.
async fn around_every_request(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let correlated = Correlated::begin(&app, &mut request);
    let traced = Traced::begin(&app, &request);
    let observed = Observed::begin(&app, &request);
    let (request, receipt) = bodies::watch(&app, request);

    let response = traced.run(next.run(request)).instrument(correlated.span.clone()).await;

    let response = match receipt {
        Some(receipt) => receipt.judge(response),
        None => response,
    };
    let response = correlated.span.in_scope(|| observed.end(response));
    traced.end(response.status());
    correlated.end(response)
}

/// Every route that is documented.
fn routes(app: &Arc<App>) -> Routes {
    let api = |route| under(app.config.prefix(), route);
    let keyed = OpenApiRouter::new()
        .routes(api(routes!(predict::predict)))
        .routes(api(routes!(predict_batch::predict_batch)))
        .routes(api(routes!(batch_jobs::submit)))
        .routes(api(routes!(batch_jobs::status)))
        .routes(api(routes!(batch_jobs::results)))
        .routes(api(routes!(batch_jobs::cancel)))
        .routes(api(routes!(batch_jobs::figures)))
        .routes(api(routes!(batch_jobs::queue_status)))
        .routes(api(routes!(info::model_info)))
        .routes(api(routes!(explain::explain)))
        .routes(api(routes!(feedback::feedback)))
        .routes(api(routes!(drift::drift)))
        .routes(routes!(protocol::model))
        .routes(routes!(protocol::infer));
    let mut open = OpenApiRouter::new()
        .routes(api(routes!(health::health)))
        .routes(api(routes!(health::details)))
        .routes(api(routes!(health::ready)))
        .routes(routes!(info::root))
        .routes(routes!(protocol::server))
        .routes(routes!(protocol::live))
        .routes(routes!(protocol::ready))
        .routes(routes!(protocol::model_ready));
    if app.config.metrics_enabled {
        open = open.routes(api(routes!(info::metrics)));
    }
    guarded(app, keyed).merge(open)
}

/// A route below a prefix. Nesting a router would cut the prefix from each request's path.
fn under(prefix: &str, (schemas, mut paths, methods): UtoipaMethodRouter<Arc<App>>) -> UtoipaMethodRouter<Arc<App>> {
    paths.paths = paths.paths.into_iter().map(|(path, item)| (format!("{prefix}{path}"), item)).collect();
    (schemas, paths, methods)
}

/// Behind the API key, only while there are places for connections, and for no longer than a request may take.
fn guarded(app: &Arc<App>, routes: Routes) -> Routes {
    let routes = openapi::guarded(routes, app);
    routes.layer(middleware::from_fn_with_state(Arc::clone(app), guard))
}

async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, ApiError> {
    crowd::refuse_crowd(&request)?;
    auth::require_key(&app, request.headers()).await?;
    timeout::within_time(&app, next.run(request)).await
}

fn cors(app: &App) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(app.config.allowed_origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, auth::API_KEY, correlation::HEADER, traces::PARENT, traces::STATE])
        .expose_headers([correlation::HEADER, correlation::TRACE, predict::INFERENCE_TIME, predict::BACKEND])
        .max_age(Duration::from_mins(10))
}
