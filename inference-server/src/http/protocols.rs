//! The protocols beside version 1's own: a table, in which each has a line. Each is a folder that says which paths are
//! its own, how its errors look and which routes it has.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{
        Components,
        schema::{ObjectBuilder, Type},
    },
};

use super::{ApiError, App, Routes, error, kserve, oip, tei, vllm};
use crate::protocol::Protocol;

/// How errors look.
#[derive(Debug)]
pub(super) struct Form {
    /// Its schema's name.
    pub(super) name: fn() -> Cow<'static, str>,
    /// An error's body in JSON, for a request of this id at this moment.
    pub(super) render: fn(&ApiError, &str, f64) -> String,
}

/// A protocol as it is spoken over HTTP.
pub(super) struct Spoken {
    pub(super) protocol: Protocol,
    /// Name of its group of operations.
    pub(super) tag: &'static str,
    /// Whether a path is its own. That decides how errors look there.
    pub(super) owns: fn(&App, &str) -> bool,
    pub(super) form: &'static Form,
    /// What callers need the key for.
    pub(super) keyed: fn(&App) -> Routes,
    /// What callers need no key for.
    pub(super) open: fn() -> Routes,
    /// What probes ask, on every port.
    pub(super) probes: fn() -> Routes,
    /// Adds what the document's schemas lack, such as that of its errors.
    pub(super) describe: fn(&App, &mut Components),
}

/// All of them. Of two that own a path the first has it.
static ALL: [&Spoken; 4] = [&oip::SPOKEN, &kserve::SPOKEN, &tei::SPOKEN, &vllm::SPOKEN];

/// Those that are served.
pub(super) fn served(app: &App) -> impl Iterator<Item = &'static Spoken> {
    let served = app.config.protocols;
    ALL.into_iter().filter(move |spoken| served.has(spoken.protocol))
}

/// How errors look at a path.
pub(super) fn form(app: &App, path: &str) -> &'static Form {
    served(app).find(|spoken| (spoken.owns)(app, path)).map_or(&error::FORM, |spoken| spoken.form)
}

/// A body of a type that can't fail to be written.
pub(super) fn json<T: Serialize>(body: &T) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// No routes.
pub(super) fn none() -> Routes {
    Routes::new()
}

/// Adds a schema that the answers name but no handler does, and what it is made of.
pub(super) fn describe<T: ToSchema>(components: &mut Components) {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    components.schemas.extend(parts);
    components.schemas.insert(T::name().into_owned(), T::schema());
}

/// Adds a schema that stands for one of some names.
pub(super) fn describe_name<T: ToSchema>(components: &mut Components, names: &[&str]) {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names.iter().copied())).build();
    components.schemas.insert(T::name().into_owned(), schema.into());
}
