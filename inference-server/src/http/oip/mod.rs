//! The Open Inference Protocol, version 2, over REST, with the extensions of Triton that its clients use: how clients of
//! other model servers ask this one too. Its paths are fixed, so they are never under the prefix.

mod binary;
mod data;
mod health;
mod infer;
mod metadata;
mod model_name;
mod outputs;
mod request;
mod response;
mod statistics;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::UtoipaMethodRouter, routes};

use super::{
    App, Routes, at, openapi,
    protocols::{self, Form, Spoken},
};
use crate::protocol::Protocol;
pub(super) use binary::HEADER as BINARY;
pub(super) use model_name::{Known, ModelName, Naming};

/// Name of its group of operations.
const TAG: &str = "Open Inference Protocol";

/// The protocol as it is spoken here.
pub(super) static SPOKEN: Spoken = Spoken {
    protocol: Protocol::Oip,
    tag: TAG,
    owns: |_, path| path == "/v2" || path.starts_with("/v2/"),
    form: &FORM,
    keyed,
    open,
    probes,
    describe: |app, components| {
        protocols::describe::<ErrorBody>(components);
        protocols::describe_name::<ModelName>(components, &[&app.config.model.name]);
    },
};

/// How its errors look.
pub(super) static FORM: Form =
    Form { name: ErrorBody::name, render: |error, _, _| protocols::json(&ErrorBody { error: error.to_string() }) };

/// The protocol's shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = ProtocolError)]
struct ErrorBody {
    /// What went wrong.
    error: String,
}

/// Marks answers as this protocol's.
pub(super) struct Oip;

impl openapi::InForm for Oip {
    const FORM: &'static Form = &FORM;
}

/// How its handlers fail.
type Failures<Steps> = openapi::Failures<Steps, Oip>;

fn keyed(_: &App) -> Routes {
    const MODEL: &str = "/v2/models/{name}/versions/{version}";
    let of_version = |end: &str, id: &str, route| versioned(&format!("{MODEL}{end}"), id, route);
    Routes::new()
        .routes(routes!(metadata::model))
        .routes(of_version("", "protocol_version", routes!(metadata::model)))
        .routes(routes!(metadata::config))
        .routes(of_version("/config", "protocol_version_config", routes!(metadata::config)))
        .routes(routes!(metadata::index))
        .routes(routes!(statistics::all))
        .routes(routes!(statistics::model))
        .routes(of_version("/stats", "protocol_version_statistics", routes!(statistics::model)))
        .routes(routes!(infer::infer))
        .routes(of_version("/infer", "protocol_version_infer", routes!(infer::infer)))
}

fn open() -> Routes {
    Routes::new().routes(routes!(health::server)).routes(routes!(health::model_ready)).routes(versioned(
        "/v2/models/{name}/versions/{version}/ready",
        "protocol_version_ready",
        routes!(health::model_ready),
    ))
}

fn probes() -> Routes {
    Routes::new().routes(routes!(health::live)).routes(routes!(health::ready))
}

/// A route at a path that names the model's version too.
fn versioned(path: &str, id: &str, route: UtoipaMethodRouter<Arc<App>>) -> UtoipaMethodRouter<Arc<App>> {
    let (schemas, mut paths, methods) = at(path, id, route);
    for (_, operation) in openapi::operations_of(&mut paths) {
        operation.parameters.get_or_insert_default().push(model_name::version_parameter());
    }
    (schemas, paths, methods)
}
