//! The HTTP API.

mod auth;
mod correlation;
mod error;
mod health;
mod info;
mod observe;
mod predict;
mod predict_batch;
mod protocol;
mod state;
mod texts;
mod timeout;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, header},
    middleware,
    routing::{get, post},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use correlation::CorrelationId;
pub use error::ApiError;
pub use state::{App, Serving};

/// Every route, behind correlation, metrics, CORS and the API key.
pub fn router(app: &Arc<App>) -> Router {
    let keyed = Router::new()
        .route("/predict", post(predict::predict).layer(DefaultBodyLimit::max(predict::MOST_BYTES)))
        .route(
            "/predict/batch",
            post(predict_batch::predict_batch).layer(DefaultBodyLimit::max(predict_batch::MOST_BYTES)),
        )
        .route("/model-info", get(info::model_info))
        .layer(middleware::from_fn_with_state(Arc::clone(app), timeout::within_time))
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::require_key));
    let open = Router::new()
        .route("/health", get(health::health))
        .route("/health/details", get(health::details))
        .route("/ready", get(health::ready))
        .route("/metrics", get(info::metrics));
    let api = keyed.merge(open);
    let keyed_protocol = Router::new()
        .route("/v2/models/{name}", get(protocol::model))
        .route("/v2/models/{name}/infer", post(protocol::infer).layer(DefaultBodyLimit::max(predict_batch::MOST_BYTES)))
        .layer(middleware::from_fn_with_state(Arc::clone(app), timeout::within_time))
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::require_key));
    let protocol = Router::new()
        .route("/v2", get(protocol::server))
        .route("/v2/health/live", get(protocol::live))
        .route("/v2/health/ready", get(protocol::ready))
        .route("/v2/models/{name}/ready", get(protocol::model_ready))
        .merge(keyed_protocol);
    let router = match app.config.prefix() {
        "" => api,
        prefix => Router::new().nest(prefix, api),
    };
    let mut router = router
        .route("/", get(info::root))
        .merge(protocol)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(app));
    if !app.config.allowed_origins.is_empty() {
        router = router.layer(cors(app));
    }
    router
        // A route layer knows the route's template, which is what the series are labelled by.
        .layer(middleware::from_fn_with_state(Arc::clone(app), observe::observe))
        .layer(middleware::from_fn(correlation::correlate))
}

fn cors(app: &App) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(app.config.allowed_origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, auth::API_KEY, correlation::HEADER])
        .expose_headers([correlation::HEADER, predict::INFERENCE_TIME, predict::BACKEND])
        .max_age(Duration::from_mins(10))
}
