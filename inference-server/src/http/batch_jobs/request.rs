//! What callers send: a job, or the page of results that they want.

use std::time::Duration;

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{ApiError, error::Location, predict_batch, texts},
    jobs::{Jobs, Priority, Submission, Text},
};

/// Bounds of `max_batch_size`.
const BATCH_SIZES: (u64, u64) = (1, 1000);

/// Bounds of `timeout_seconds`.
const TIMEOUTS: (u64, u64) = (10, 3600);

/// Results on a page when the caller doesn't say, and at most.
const PAGE_SIZE: usize = 100;
const MOST_PAGE_SIZE: usize = 1000;

/// The body as documented; [`submission`] reads it, as its errors are version 1's.
#[derive(ToSchema)]
#[schema(
    as = BatchJobRequest,
    example = json!({ "texts": ["I love this product", "It broke after two days"], "priority": "low" }),
)]
#[expect(dead_code, reason = "only its shape is used")]
pub(in crate::http) struct Request {
    #[schema(min_items = 1, max_items = 1000)]
    texts: Vec<texts::Text>,
    #[schema(required = false, default = "medium")]
    priority: Priority,
    /// Texts of the job that are run at once, at most; the server takes fewer when it has other work.
    #[schema(minimum = 1, maximum = 1000)]
    max_batch_size: Option<u16>,
    /// After so many seconds the job expires, whether or not it was begun.
    #[schema(minimum = 10, maximum = 3600, default = 300)]
    timeout_seconds: Option<u16>,
}

/// The job that a body asks for; all problems at once.
pub(super) fn submission(body: &[u8], longest: usize, jobs: &Jobs) -> Result<Submission, ApiError> {
    let mut fields = texts::fields(body)?;
    let texts = predict_batch::texts(&mut fields, longest);
    let priority = priority(&mut fields);
    let max_batch_size = number(&mut fields, "max_batch_size", BATCH_SIZES);
    let timeout = number(&mut fields, "timeout_seconds", TIMEOUTS);
    match (texts, priority, max_batch_size, timeout) {
        (Ok(texts), Ok(priority), Ok(max_batch_size), Ok(timeout)) => Ok(Submission {
            texts: texts.into_iter().map(|text| Text { content: text.content, characters: text.characters }).collect(),
            priority,
            max_batch_size: max_batch_size.map_or(jobs.max_batch_size, |size| usize::try_from(size).unwrap_or(1)),
            timeout: timeout.map_or(jobs.default_timeout, Duration::from_secs),
        }),
        (texts, priority, max_batch_size, timeout) => {
            let errors = [texts.err(), priority.err(), max_batch_size.err(), timeout.err()];
            Err(ApiError::all_of(errors.into_iter().flatten()))
        }
    }
}

fn priority(fields: &mut Map<String, Value>) -> Result<Priority, ApiError> {
    let known = match fields.remove("priority") {
        None => return Ok(Priority::Medium),
        Some(Value::String(name)) => Priority::from_name(&name),
        Some(_) => return Err(ApiError::field("priority", "Input should be a valid string", "string_type")),
    };
    let msg = "Input should be low, medium or high";
    known.ok_or_else(|| ApiError::field("priority", msg, "string_pattern_mismatch"))
}

/// A whole number within bounds. `null` is what version 1's clients send for "not set".
fn number(
    fields: &mut Map<String, Value>,
    field: &'static str,
    (least, most): (u64, u64),
) -> Result<Option<u64>, ApiError> {
    let number = match fields.remove(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(ApiError::field(field, "Input should be a valid integer", "int_type")),
    };
    // 60.0 is a whole number too, in JSON Schema as for version 1.
    let whole = number.as_u64().or_else(|| number.as_f64().filter(|number| number.fract() == 0.0).map(saturating));
    let loc = || vec![Location::Name("body"), Location::Name(field)];
    match whole {
        Some(number) if number > most => Err(too_large(loc(), most)),
        Some(number) if number >= least => Ok(Some(number)),
        Some(_) => Err(too_small(loc(), least)),
        None => Err(ApiError::field(field, "Input should be a valid integer", "int_type")),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds catch what is cut off")]
fn saturating(number: f64) -> u64 {
    number as u64
}

fn too_small(loc: Vec<Location>, least: u64) -> ApiError {
    ApiError::at(loc, format!("Input should be greater than or equal to {least}"), "greater_than_equal")
}

fn too_large(loc: Vec<Location>, most: u64) -> ApiError {
    ApiError::at(loc, format!("Input should be less than or equal to {most}"), "less_than_equal")
}

/// Which page, as it came.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PageQuery {
    /// Which page, from 1.
    #[param(value_type = Option<u64>, minimum = 1, default = 1)]
    page: Option<String>,
    /// Results on a page.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000, default = 100)]
    page_size: Option<String>,
}

/// Which results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Results on each page.
    pub(super) size: usize,
}

impl Page {
    /// An error for what no page can be.
    pub(super) fn invalid() -> ApiError {
        too_small(vec![Location::Name("query"), Location::Name("page")], 1)
    }

    pub(super) fn of(query: Result<Query<PageQuery>, QueryRejection>) -> Result<Self, ApiError> {
        let Query(query) = query
            .map_err(|rejection| ApiError::at(vec![Location::Name("query")], rejection.body_text(), "query_invalid"))?;
        let number = parameter("page", query.page.as_deref(), 1, usize::MAX);
        let size = parameter("page_size", query.page_size.as_deref(), PAGE_SIZE, MOST_PAGE_SIZE);
        match (number, size) {
            (Ok(number), Ok(size)) => Ok(Self { number, size }),
            (number, size) => Err(ApiError::all_of([number.err(), size.err()].into_iter().flatten())),
        }
    }
}

fn parameter(name: &'static str, given: Option<&str>, default: usize, most: usize) -> Result<usize, ApiError> {
    let Some(given) = given else { return Ok(default) };
    let loc = vec![Location::Name("query"), Location::Name(name)];
    match given.parse::<i128>() {
        Ok(number) if number < 1 => Err(too_small(loc, 1)),
        Ok(number) => match usize::try_from(number) {
            Ok(number) if number <= most => Ok(number),
            _ => Err(too_large(loc, most as u64)),
        },
        Err(_) => Err(ApiError::at(loc, "Input should be a valid integer", "int_parsing")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use serde_json::json;

    use super::*;
    use crate::{
        config::{Config, Environment},
        http::error::ValidationError,
        metrics::Metrics,
    };

    fn submission(body: &Value) -> Result<Submission, Vec<ValidationError>> {
        let config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
        let jobs = Jobs::new(config, Metrics::new().jobs);
        super::submission(body.to_string().as_bytes(), 512, &jobs).map_err(|error| match error {
            ApiError::Validation(errors) => errors,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let found = submission(&json!({ "texts": [" a "] })).unwrap();
        assert_eq!(found.texts, [Text { content: "a".to_owned(), characters: 1 }]);
        assert_eq!(found.priority, Priority::Medium);
        assert_eq!((found.max_batch_size, found.timeout), (1000, Duration::from_mins(5)));
        let null = json!({ "texts": ["a"], "max_batch_size": null, "timeout_seconds": null });
        assert_eq!(submission(&null).unwrap().timeout, Duration::from_mins(5));
        let whole = submission(&json!({ "texts": ["a"], "max_batch_size": 7.0 })).unwrap();
        assert_eq!(whole.max_batch_size, 7);
    }

    #[test]
    fn bounds_are_the_documented_ones() {
        for (field, values, kinds) in [
            ("max_batch_size", [1, 1000, 0, 1001], ["", "", "greater_than_equal", "less_than_equal"]),
            ("timeout_seconds", [10, 3600, 9, 3601], ["", "", "greater_than_equal", "less_than_equal"]),
        ] {
            for (value, kind) in values.into_iter().zip(kinds) {
                let found = submission(&json!({ "texts": ["a"], field: value }));
                let found = found.err().map_or("", |errors| errors[0].kind);
                assert_eq!(found, kind, "{field} {value}");
            }
        }
        for (field, value, kind) in [
            ("max_batch_size", json!(-1), "greater_than_equal"),
            ("max_batch_size", json!(1.5), "int_type"),
            ("max_batch_size", json!(u64::MAX), "less_than_equal"),
            ("max_batch_size", json!(1e300), "less_than_equal"),
            ("max_batch_size", json!(-1e300), "greater_than_equal"),
            ("timeout_seconds", json!("300"), "int_type"),
            ("priority", json!("urgent"), "string_pattern_mismatch"),
            ("priority", json!("High"), "string_pattern_mismatch"),
            ("priority", json!(null), "string_type"),
            ("priority", json!(1), "string_type"),
        ] {
            let errors = submission(&json!({ "texts": ["a"], field: value })).unwrap_err();
            assert_eq!((errors[0].kind, &errors[0].loc[1]), (kind, &Location::Name(field)), "{value}");
        }
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let body = json!({ "texts": ["a", ""], "priority": "urgent", "max_batch_size": 0, "timeout_seconds": 1 });
        let errors = submission(&body).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.loc[1].clone()).collect();
        assert_eq!(fields, ["texts", "priority", "max_batch_size", "timeout_seconds"].map(Location::Name));
    }

    #[test]
    fn a_text_that_is_too_long_says_so_whatever_else_is_wrong() {
        let config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
        let jobs = Jobs::new(config, Metrics::new().jobs);
        let body = json!({ "texts": ["long"], "priority": "urgent" }).to_string();
        let error = super::submission(body.as_bytes(), 3, &jobs).unwrap_err();
        assert_eq!(error, ApiError::TextTooLong { characters: 4, most: 3 });
    }

    fn page(query: &str) -> Result<Page, &'static str> {
        let uri: Uri = format!("/?{query}").parse().unwrap();
        Page::of(Query::try_from_uri(&uri)).map_err(|error| match error {
            ApiError::Validation(errors) => errors[0].kind,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn pages() {
        assert_eq!(page(""), Ok(Page { number: 1, size: 100 }));
        assert_eq!(page("page=3&page_size=1000"), Ok(Page { number: 3, size: 1000 }));
        for (query, kind) in [
            ("page=0", "greater_than_equal"),
            ("page=-1", "greater_than_equal"),
            ("page=", "int_parsing"),
            ("page=1.5", "int_parsing"),
            ("page=99999999999999999999", "less_than_equal"),
            ("page_size=0", "greater_than_equal"),
            ("page_size=1001", "less_than_equal"),
            ("page=1&page=2", "query_invalid"),
        ] {
            assert_eq!(page(query), Err(kind), "{query}");
        }
    }
}
