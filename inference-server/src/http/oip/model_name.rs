//! The model that a path names, and its version.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use utoipa::{
    ToSchema,
    openapi::{
        RefOr, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use crate::{
    http::{ApiError, App, error::quoted, openapi::Failing},
    open_inference::VERSION,
};

/// A model's name in the document, which puts the served one in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(in crate::http) struct ModelName(String);

/// The name of the served model, from a path that names no other and no other version.
pub(in crate::http) struct Known(pub(in crate::http) String);

impl FromRequestParts<Arc<App>> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = RawPathParams::from_request_parts(parts, app).await;
        // One that is no text is no model's.
        let part = |wanted: &str| {
            let found = path.as_ref().ok()?.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.to_owned())
        };
        let name = part("name").unwrap_or_default();
        if name != app.config.model.name {
            return Err(ApiError::UnknownModel(name));
        }
        match part("version") {
            Some(version) if version != VERSION => {
                Err(ApiError::NotFound(format!("the model has the version {VERSION}, but no {}", quoted(&version))))
            }
            _ => Ok(Self(name)),
        }
    }
}

/// How [`Known`] fails.
pub(in crate::http) struct Naming;

impl Failing for Naming {
    fn failures() -> Vec<ApiError> {
        vec![ApiError::UnknownModel("other".to_owned())]
    }
}

/// The version in a path, in the document.
pub(super) fn version_parameter() -> RefOr<Parameter> {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([VERSION]));
    let parameter = ParameterBuilder::new()
        .name("version")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The model's version"))
        .schema(Some(schema));
    RefOr::T(parameter.build())
}
