//! `POST /classify`, as vLLM and Infinity have it. Infinity's clients always send `raw_scores`, which vLLM's don't know:
//! a body with it is answered in Infinity's shape, any other in vLLM's.

mod classify;
mod request;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App, Routes,
    kserve::models,
    openapi,
    protocols::{self, Form, Spoken},
};
use crate::protocol::Protocol;

/// Name of its group of operations.
const TAG: &str = "vLLM and Infinity";

/// The protocol as it is spoken here.
pub(super) static SPOKEN: Spoken = Spoken {
    protocol: Protocol::Vllm,
    tag: TAG,
    owns: |_, path| path == "/classify" || path == "/v1/models",
    form: &FORM,
    keyed,
    open: protocols::none,
    probes: protocols::none,
    describe: |app, components| {
        protocols::describe::<ErrorBody>(components);
        let names = [app.config.model.name.as_str(), request::ANY_MODEL];
        protocols::describe_name::<request::ClassifyModel>(components, &names);
    },
};

/// How its errors look.
static FORM: Form = Form {
    name: ErrorBody::name,
    render: |error, _, _| {
        let (status, message) = (error.status(), error.to_string());
        let kind = match status.as_u16() {
            401 => "AuthenticationError",
            404 => "NotFoundError",
            400..500 => "BadRequestError",
            503 => "ServiceUnavailableError",
            _ => "InternalServerError",
        };
        protocols::json(&ErrorBody { error: ErrorInfo { message, kind, param: None, code: status.as_u16() } })
    },
};

/// The shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = VllmError)]
struct ErrorBody {
    error: ErrorInfo,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VllmErrorInfo)]
struct ErrorInfo {
    /// What went wrong.
    message: String,
    #[serde(rename = "type")]
    #[schema(example = "BadRequestError")]
    kind: &'static str,
    /// Always null.
    #[schema(value_type = Option<String>)]
    param: Option<()>,
    /// The status.
    #[schema(example = 400)]
    code: u16,
}

/// Marks answers as this protocol's.
struct Vllm;

impl openapi::InForm for Vllm {
    const FORM: &'static Form = &FORM;
}

/// How its handlers fail.
type Failures<Steps> = openapi::Failures<Steps, Vllm>;

fn keyed(app: &App) -> Routes {
    let routes = Routes::new().routes(routes!(classify::classify));
    // Its clients take the model's name from the list, which is KServe's too.
    if app.config.protocols.has(Protocol::Kserve) {
        return routes;
    }
    let (schemas, mut paths, methods) = routes!(models::list);
    for (_, operation) in openapi::operations_of(&mut paths) {
        operation.tags = Some(vec![TAG.to_owned()]);
    }
    routes.routes((schemas, paths, methods))
}
