//! Health for people and probes.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    openapi::{Failing, Failures, tags},
};
use crate::{clock, http::info::BACKEND_NAME, version};

/// What there is to say before the model serves.
const LOADING: &str = "the model is still loading";

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `healthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `available`, or `unavailable` while it loads.
    #[schema(example = "available")]
    model_status: &'static str,
    version: &'static str,
    #[schema(example = "onnx")]
    backend: &'static str,
    /// Seconds since 1970 (UTC).
    timestamp: f64,
}

/// Whether the process serves
///
/// 200 as long as the process serves HTTP: what liveness probes ask.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = tags::SERVICE,
    responses((status = OK, description = "The process serves", body = Health)),
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    Json(Health {
        status: "healthy",
        model_status: if app.predictor.served().is_some() { "available" } else { "unavailable" },
        version: version(),
        backend: BACKEND_NAME,
        timestamp: clock::unix_seconds(),
    })
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthDetails)]
pub(super) struct Details {
    /// `healthy`, or `degraded` when a component isn't.
    #[schema(example = "healthy")]
    status: &'static str,
    version: &'static str,
    /// Seconds since 1970 (UTC).
    timestamp: f64,
    dependencies: Vec<Component>,
}

#[derive(Serialize, ToSchema)]
struct Component {
    #[schema(example = "model")]
    component_name: &'static str,
    details: ComponentDetails,
}

#[derive(Serialize, ToSchema)]
struct ComponentDetails {
    #[schema(example = "healthy")]
    status: &'static str,
    /// What is wrong, when something is.
    error: Option<String>,
}

/// The state of each part
#[utoipa::path(
    get, path = "/health/details", operation_id = "health_details", tag = tags::SERVICE,
    responses((status = OK, description = "Each part and its state", body = Details)),
)]
pub(super) async fn details(State(app): State<Arc<App>>) -> Json<Details> {
    let loading = app.predictor.served().is_none().then(|| LOADING.to_owned());
    let mut dependencies = vec![Component::new("model", loading)];
    if app.config.redis.is_some() {
        let model = app.predictor.served();
        let redis = model.as_ref().and_then(|model| model.cache.as_ref()?.redis());
        let problem = redis.map_or_else(|| Some(LOADING.into()), |redis| redis.problem());
        dependencies.push(Component::new("redis", problem.map(|problem| problem.to_string())));
    }
    let files = app.config.secret_files();
    if !files.is_empty() {
        let problem = files.iter().find_map(|file| Some((file.variable(), file.problem()?)));
        let problem = problem.map(|(variable, problem)| {
            format!("the file that {variable} names {problem}; what it held before is in force")
        });
        dependencies.push(Component::new("secrets", problem));
    }
    let healthy = dependencies.iter().all(|component| component.details.error.is_none());
    let status = status(healthy);
    Json(Details { status, version: version(), timestamp: clock::unix_seconds(), dependencies })
}

impl Component {
    fn new(component_name: &'static str, error: Option<String>) -> Self {
        Self { component_name, details: ComponentDetails { status: status(error.is_none()), error } }
    }
}

fn status(healthy: bool) -> &'static str {
    if healthy { "healthy" } else { "degraded" }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// How readiness is refused.
pub(super) struct NotReady;

impl Failing for NotReady {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::NotReady(LOADING)]
    }
}

/// Whether new requests should come here
///
/// 200 from the first inference until the process is told to stop: what readiness probes ask.
#[utoipa::path(
    get, path = "/ready", operation_id = "ready", tag = tags::SERVICE,
    responses((status = OK, description = "Ready", body = Ready), Failures<NotReady>),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Ready>, ApiError> {
    if app.is_draining() {
        Err(ApiError::NotReady("it is stopping"))
    } else if app.predictor.served().is_none() {
        Err(ApiError::NotReady(LOADING))
    } else {
        Ok(Json(Ready { status: "ready" }))
    }
}
