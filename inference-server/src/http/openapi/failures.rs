//! The document's error answers, made from the errors themselves.

use std::{collections::BTreeMap, marker::PhantomData};

use serde_json::{Value, json};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Ref, RefOr,
        content::ContentBuilder,
        example::ExampleBuilder,
        header::HeaderBuilder,
        response::{Response, ResponseBuilder},
        schema::{ObjectBuilder, Type},
    },
};

use super::super::{ApiError, error, protocol};

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

/// The answers of a handler that is made of these steps.
pub(crate) struct Failures<Steps>(PhantomData<Steps>);

impl<Steps: Failing> IntoResponses for Failures<Steps> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = BTreeMap::new();
        add(&mut responses, &Steps::failures(), false);
        responses
    }
}

/// As [`Failures`], in the shape of the Open Inference Protocol.
pub(crate) struct ProtocolFailures<Steps>(PhantomData<Steps>);

impl<Steps: Failing> IntoResponses for ProtocolFailures<Steps> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = BTreeMap::new();
        add(&mut responses, &Steps::failures(), true);
        responses
    }
}

/// Adds errors to the answers: those of one status become one answer with an example for each.
pub(super) fn add(responses: &mut BTreeMap<String, RefOr<Response>>, errors: &[ApiError], in_protocol: bool) {
    for error in errors {
        let status = error.status().as_str().to_owned();
        let response = responses.entry(status).or_insert_with(|| RefOr::T(empty(error, in_protocol)));
        let RefOr::T(response) = response else { continue };
        let Some(RefOr::T(content)) = response.content.get_mut(JSON) else { continue };
        let example = ExampleBuilder::new().summary(error.message()).value(Some(body(error, in_protocol)));
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
fn empty(error: &ApiError, in_protocol: bool) -> Response {
    let name = if in_protocol { protocol::ErrorBody::name() } else { error::ErrorBody::name() };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
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

fn body(error: &ApiError, in_protocol: bool) -> Value {
    if in_protocol {
        json!(protocol::ErrorBody::of(error))
    } else {
        json!(error::ErrorBody::of(error, EXAMPLE_ID, EXAMPLE_TIME))
    }
}
