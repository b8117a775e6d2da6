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
mod state;
mod texts;
mod timeout;
mod traced;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, header},
    middleware,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

pub use batch_jobs::{JobError, run_jobs};
pub use bodies::BodyLeftUnread;
pub use correlation::CorrelationId;
pub use crowd::Crowded;
pub use error::{ApiError, refusal};
pub use state::{App, Serving};

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
    router = router
        .layer(middleware::from_fn_with_state(Arc::clone(app), bodies::watch))
        .layer(middleware::from_fn(crowd::close_crowd))
        // A route layer knows the route's template, which is what the series are labelled by.
        .layer(middleware::from_fn_with_state(Arc::clone(app), observe::observe));
    if app.traces.is_some() {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(app), traced::trace));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(app), correlation::correlate))
}

/// Every route that is documented.
fn routes(app: &Arc<App>) -> Routes {
    let keyed = OpenApiRouter::new()
        .routes(routes!(predict::predict).layer(DefaultBodyLimit::max(predict::MOST_BYTES)))
        .routes(routes!(predict_batch::predict_batch).layer(DefaultBodyLimit::max(predict_batch::MOST_BYTES)))
        .routes(routes!(batch_jobs::submit).layer(DefaultBodyLimit::max(predict_batch::MOST_BYTES)))
        .routes(routes!(batch_jobs::status))
        .routes(routes!(batch_jobs::results))
        .routes(routes!(batch_jobs::cancel))
        .routes(routes!(batch_jobs::figures))
        .routes(routes!(batch_jobs::queue_status))
        .routes(routes!(info::model_info))
        .routes(routes!(explain::explain).layer(DefaultBodyLimit::max(predict::MOST_BYTES)))
        .routes(routes!(feedback::feedback).layer(DefaultBodyLimit::max(feedback::MOST_BYTES)))
        .routes(routes!(drift::drift));
    let mut open = OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::details))
        .routes(routes!(health::ready));
    if app.config.metrics_enabled {
        open = open.routes(routes!(info::metrics));
    }
    let api = guarded(app, keyed).merge(open);
    let keyed_protocol = OpenApiRouter::new()
        .routes(routes!(protocol::model))
        .routes(routes!(protocol::infer).layer(DefaultBodyLimit::max(predict_batch::MOST_BYTES)));
    let protocol = OpenApiRouter::new()
        .routes(routes!(protocol::server))
        .routes(routes!(protocol::live))
        .routes(routes!(protocol::ready))
        .routes(routes!(protocol::model_ready))
        .merge(guarded(app, keyed_protocol));
    let routes = match app.config.prefix() {
        "" => api,
        prefix => OpenApiRouter::new().nest(prefix, api),
    };
    routes.routes(routes!(info::root)).merge(protocol)
}

/// Behind the API key, only while there are places for connections, and for no longer than a request may take.
fn guarded(app: &Arc<App>, routes: Routes) -> Routes {
    let routes = openapi::guarded(routes, app);
    routes
        .layer(middleware::from_fn_with_state(Arc::clone(app), timeout::within_time))
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::require_key))
        .layer(middleware::from_fn(crowd::refuse_crowd))
}

fn cors(app: &App) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(app.config.allowed_origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, auth::API_KEY, correlation::HEADER, traces::PARENT, traces::STATE])
        .expose_headers([correlation::HEADER, correlation::TRACE, predict::INFERENCE_TIME, predict::BACKEND])
        .max_age(Duration::from_mins(10))
}
