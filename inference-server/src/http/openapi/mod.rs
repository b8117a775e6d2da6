//! The OpenAPI document: collected from the handlers and their types, and completed with what the
//! layers around them add.

mod failures;
pub(super) mod shapes;

use utoipa::openapi::{
    Components, Info, License, OpenApi, RefOr,
    header::HeaderBuilder,
    path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths},
    schema::{ObjectBuilder, Type},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    tag::Tag,
};

pub(super) use failures::{Failing, Failures, InForm};

use super::{ApiError, App, Port, Routes, auth, correlation, error, protocols, texts};
use crate::{access::Exceeded, metrics::LimitReason, predict::PredictError, version};

/// Groups of operations, as the page shows them.
pub(super) mod tags {
    pub(crate) const PREDICTIONS: &str = "Predictions";
    pub(crate) const JOBS: &str = "Batch jobs";
    pub(crate) const SERVICE: &str = "Service";
}

/// Name of the API key among the security schemes.
const KEY: &str = "ApiKey";
/// As [`KEY`], of the key as a token.
const BEARER: &str = "Bearer";

const DESCRIPTION: &str = "\
Tells the sentiment of texts.

An error is one flat JSON object whose `error_code` stays the same; on a route of another protocol it has that one's \
shape. What this document doesn't name is answered 404 (`E1007`) as a path and 405 (`E1008`) as a method.";

const MANAGEMENT_DESCRIPTION: &str = "\
What those who run the service ask of it. This port asks for no key and is not for callers.

An error is one flat JSON object whose `error_code` stays the same. What this document doesn't name is answered 404 \
(`E1007`) as a path and 405 (`E1008`) as a method.";

/// Documents what the layers of the guarded routes add: the key and its limits, the time-out, and the
/// limit of connections.
pub(super) fn guarded(mut routes: Routes, app: &App) -> Routes {
    let key = SecurityRequirement::new(KEY, Vec::<String>::new());
    let bearer = SecurityRequirement::new(BEARER, Vec::<String>::new());
    let requirements = match app.config.api_keys {
        Some(_) => vec![key, bearer],
        // Where no key is set, one that is sent isn't looked at.
        None => vec![SecurityRequirement::default(), key, bearer],
    };
    let timed_out = ApiError::from(PredictError::TimedOut(app.config.request_timeout.as_secs()));
    let mut added = vec![ApiError::Unauthorized, timed_out, ApiError::TooManyConnections];
    if app.config.api_key_limits.is_some() {
        added.push(ApiError::KeyLimited(Exceeded { reason: LimitReason::Rate, retry_after: 1 }));
    }
    for (path, operation) in operations(routes.get_openapi_mut()) {
        operation.security = Some(requirements.clone());
        failures::add(&mut operation.responses.responses, &added, protocols::form(app, path));
    }
    routes
}

/// The whole document of a port, true of a server with these settings.
pub(super) fn complete(mut document: OpenApi, app: &App, port: Port) -> OpenApi {
    let (title, description, mut tags) = match port {
        Port::Public => ("KubeSentiment", DESCRIPTION, vec![tags::PREDICTIONS, tags::JOBS, tags::SERVICE]),
        Port::Management => ("KubeSentiment, management", MANAGEMENT_DESCRIPTION, vec![tags::SERVICE]),
    };
    tags.extend(protocols::served(app).map(|spoken| spoken.tag));
    document.info = Info::new(title, version());
    document.info.description = Some(description.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    document.info.license = Some(license);
    document.tags = Some(tags.into_iter().map(Tag::new).collect());

    for (_, operation) in operations(&mut document) {
        operation.parameters.get_or_insert_default().push(RefOr::T(correlation_parameter()));
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                let header = HeaderBuilder::new()
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                    .description(Some("Ties the request to the server's log lines"));
                response.headers.insert(correlation::HEADER_NAME.to_owned(), RefOr::T(header.build()));
            }
        }
    }
    let components = document.components.get_or_insert_with(Components::new);
    protocols::describe::<error::ErrorBody>(components);
    if port == Port::Public {
        // The bounds and the names in force are known only now.
        for spoken in protocols::served(app) {
            (spoken.describe)(app, components);
        }
        components.schemas.insert(texts::SCHEMA.to_owned(), texts::schema(app.config.max_text_length));
        let scheme = ApiKeyValue::with_description(
            auth::API_KEY_NAME,
            "Asked for when `MLOPS_API_KEY` or `MLOPS_API_KEY_FILE` is set.",
        );
        components.add_security_scheme(KEY, SecurityScheme::ApiKey(ApiKey::Header(scheme)));
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("The same key. Of two that are sent, `X-API-Key` counts.".to_owned());
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    }
    document
}

fn correlation_parameter() -> Parameter {
    ParameterBuilder::new()
        .name(correlation::HEADER_NAME)
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "Echoed in the answer and written to every log line of the request. \
             One that isn't 1 to 128 visible ASCII characters is replaced.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some("order-4711".into()))
        .build()
}

/// Every operation with its path.
fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&str, &mut Operation)> {
    operations_of(&mut document.paths)
}

/// As [`operations`], of paths alone.
pub(super) fn operations_of(paths: &mut Paths) -> impl Iterator<Item = (&str, &mut Operation)> {
    paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten().map(|operation| (path.as_str(), operation))
    })
}

#[cfg(test)]
mod tests;
