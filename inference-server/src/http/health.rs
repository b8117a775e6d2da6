//! Health for people and probes.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{ApiError, App};
use crate::{clock, http::info::BACKEND_NAME, version};

/// `GET /health`. Always 200 while the process serves HTTP: it is what liveness probes ask.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    model_status: &'static str,
    version: &'static str,
    backend: &'static str,
    timestamp: f64,
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    Json(Health {
        status: "healthy",
        model_status: if app.serving().is_some() { "available" } else { "unavailable" },
        version: version(),
        backend: BACKEND_NAME,
        timestamp: clock::unix_seconds(),
    })
}

#[derive(Serialize)]
pub(super) struct Details {
    status: &'static str,
    version: &'static str,
    timestamp: f64,
    dependencies: Vec<Component>,
}

#[derive(Serialize)]
struct Component {
    component_name: &'static str,
    details: ComponentDetails,
}

#[derive(Serialize)]
struct ComponentDetails {
    status: &'static str,
    error: Option<&'static str>,
}

pub(super) async fn details(State(app): State<Arc<App>>) -> Json<Details> {
    let (status, error) = match app.serving() {
        Some(_) => ("healthy", None),
        None => ("degraded", Some("the model is still loading")),
    };
    let model = Component { component_name: "model", details: ComponentDetails { status, error } };
    let timestamp = clock::unix_seconds();
    Json(Details { status, version: version(), timestamp, dependencies: vec![model] })
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Ready>, ApiError> {
    if app.is_draining() {
        Err(ApiError::NotReady("it is stopping"))
    } else if app.serving().is_none() {
        Err(ApiError::NotReady("the model is still loading"))
    } else {
        Ok(Json(Ready { status: "ready" }))
    }
}
