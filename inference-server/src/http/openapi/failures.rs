//! The document's error answers, made from the errors themselves.

use std::{collections::BTreeMap, marker::PhantomData};

use serde_json::Value;
use utoipa::{
    IntoResponses,
    openapi::{
        Ref, RefOr,
        content::ContentBuilder,
        example::ExampleBuilder,
        header::HeaderBuilder,
        response::{Response, ResponseBuilder},
        schema::{ObjectBuilder, Type},
    },
};

use super::super::{ApiError, error, protocols::Form};

const JSON: &str = "application/json";

/// Moment of the examples.
const EXAMPLE_TIME: f64 = 1_767_225_600.0;
const EXAMPLE_ID: &str = "order-4711";

/// A step of a handler, and how it can fail.
pub(crate) trait Failing {
    /// One error of each kind; what it carries becomes the document's example.
    fn failures() -> Vec<ApiError>;
}

impl<A: Failing, B: Failing> Failing for (A, B) {
    fn failures() -> Vec<ApiError> {
        [A::failures(), B::failures()].concat()
    }
}

impl<A: Failing, B: Failing, C: Failing> Failing for (A, B, C) {
    fn failures() -> Vec<ApiError> {
        [A::failures(), B::failures(), C::failures()].concat()
    }
}

/// Marks the protocol that answers are of.
pub(crate) trait InForm {
    /// How its errors look.
    const FORM: &'static Form;
}

/// Marks answers as version 1's.
pub(crate) struct Native;

impl InForm for Native {
    const FORM: &'static Form = &error::FORM;
}

/// The answers of a handler that is made of these steps.
pub(crate) struct Failures<Steps, P = Native>(PhantomData<(Steps, P)>);

impl<Steps: Failing, P: InForm> IntoResponses for Failures<Steps, P> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = BTreeMap::new();
        add(&mut responses, &Steps::failures(), P::FORM);
        responses
    }
}

/// Adds errors to the answers: those of one status become one answer with an example for each.
pub(super) fn add(responses: &mut BTreeMap<String, RefOr<Response>>, errors: &[ApiError], form: &Form) {
    for error in errors {
        let status = error.status().as_str().to_owned();
        let response = responses.entry(status).or_insert_with(|| RefOr::T(empty(error, form)));
        let RefOr::T(response) = response else { continue };
        let Some(RefOr::T(content)) = response.content.get_mut(JSON) else { continue };
        let example = ExampleBuilder::new().summary(error.message()).value(Some(body(error, form)));
        if content.examples.insert(error.code().to_owned(), example.into()).is_none() {
            let sentence = format!("`{}`: {}", error.code(), error.message());
            if !response.description.is_empty() {
                response.description.push_str("; ");
            }
            response.description.push_str(&sentence);
        }
    }
}

/// An answer with the headers that go with the error's status.
fn empty(error: &ApiError, form: &Form) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name((form.name)()))).build();
    let mut response = ResponseBuilder::new().content(JSON, content);
    if error.retry_after().is_some() {
        let seconds = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
            .description(Some("Seconds after which another try may succeed"));
        response = response.header("Retry-After", seconds.build());
    }
    if matches!(error, ApiError::UnsupportedEncoding(_)) {
        let encodings = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("What is read, if the content encoding was not"));
        response = response.header("Accept-Encoding", encodings.build());
    }
    if *error == ApiError::Unauthorized {
        let scheme = HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        response = response.header("WWW-Authenticate", scheme.build());
    }
    response.build()
}

fn body(error: &ApiError, form: &Form) -> Value {
    serde_json::from_str(&(form.render)(error, EXAMPLE_ID, EXAMPLE_TIME)).unwrap_or_default()
}
