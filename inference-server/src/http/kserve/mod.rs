//! `KServe`'s version 1, which is TensorFlow Serving's: `POST /v1/models/{name}:predict`, and the models.

pub(super) mod models;
mod predict;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App, Routes,
    oip::ModelName,
    openapi,
    protocols::{self, Form, Spoken},
};
use crate::protocol::Protocol;

/// Name of its group of operations.
const TAG: &str = "KServe version 1";

/// The protocol as it is spoken here.
pub(super) static SPOKEN: Spoken = Spoken {
    protocol: Protocol::Kserve,
    tag: TAG,
    owns: |_, path| path == "/v1/models" || path.starts_with("/v1/models/"),
    form: &FORM,
    keyed,
    open: || Routes::new().routes(routes!(models::model)),
    probes: protocols::none,
    describe: |app, components| {
        protocols::describe::<ErrorBody>(components);
        protocols::describe_name::<ModelName>(components, &[&app.config.model.name]);
        let path = format!("{}{}", app.config.model.name, predict::VERB);
        protocols::describe_name::<predict::PredictPath>(components, &[&path]);
    },
};

/// How its errors look.
static FORM: Form =
    Form { name: ErrorBody::name, render: |error, _, _| protocols::json(&ErrorBody { error: error.to_string() }) };

/// The shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = KserveError)]
struct ErrorBody {
    /// What went wrong.
    error: String,
}

/// Marks answers as this protocol's.
struct Kserve;

impl openapi::InForm for Kserve {
    const FORM: &'static Form = &FORM;
}

/// How its handlers fail.
type Failures<Steps> = openapi::Failures<Steps, Kserve>;

fn keyed(_: &App) -> Routes {
    Routes::new().routes(routes!(models::list)).routes(routes!(predict::predict))
}
