//! What callers send: a job, or the page of results that they want.

use std::time::Duration;

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        ApiError,
        error::Location,
        fields::{self, Fields},
        rows::{self, Row, Rows},
        texts,
    },
    jobs::{self, Jobs, Priority, Submission},
    predict::Text,
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
    texts: Vec<texts::TextSchema>,
    #[schema(required = false, default = "medium")]
    priority: Priority,
    /// Texts of the job that are run at once, at most; the server takes fewer when it has other work.
    #[schema(minimum = 1, maximum = 1000)]
    max_batch_size: Option<u16>,
    /// After so many seconds the job expires, whether or not it was begun.
    #[schema(minimum = 10, maximum = 3600, default = 300)]
    timeout_seconds: Option<u16>,
}

/// What holds for a job that doesn't say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    max_batch_size: usize,
    timeout: Duration,
}

impl Defaults {
    pub(super) fn of(jobs: &Jobs) -> Self {
        Self { max_batch_size: jobs.max_batch_size, timeout: jobs.default_timeout }
    }
}

/// The job that a body asks for; all problems at once. A text that can't be run has failed in a job of others.
pub(super) fn submission(json: &str, longest: usize, defaults: Defaults) -> Result<Submission, ApiError> {
    let mut rows = Rows::new(longest);
    let mut fields = rows.read(json, ["priority", "max_batch_size", "timeout_seconds"])?;
    let rows = rows.finish(&fields);
    let priority = priority(&mut fields);
    let max_batch_size = number(&mut fields, "max_batch_size", BATCH_SIZES);
    let timeout = number(&mut fields, "timeout_seconds", TIMEOUTS);
    match (rows, priority, max_batch_size, timeout) {
        (Ok(rows), Ok(priority), Ok(max_batch_size), Ok(timeout)) => Ok(Submission {
            texts: rows.into_iter().map(text).collect(),
            priority,
            max_batch_size: max_batch_size.map_or(defaults.max_batch_size, |size| usize::try_from(size).unwrap_or(1)),
            timeout: timeout.map_or(defaults.timeout, Duration::from_secs),
        }),
        (rows, priority, max_batch_size, timeout) => {
            let rows = rows.map_or_else(Some, |rows| {
                let is_bad = rows.iter().any(Result::is_err);
                is_bad.then(|| rows::all_of(rows))
            });
            let errors = [rows, priority.err(), max_batch_size.err(), timeout.err()];
            Err(ApiError::all_of(errors.into_iter().flatten()))
        }
    }
}

fn text(row: Row) -> Result<jobs::Text, jobs::Refused> {
    match row {
        Ok(Text { content, characters, .. }) => Ok(jobs::Text { content, characters }),
        Err(texts::Refused { characters, error }) => {
            Err(jobs::Refused { characters, failure: jobs::Failure::new(error.code(), &error.to_string()) })
        }
    }
}

fn priority<const N: usize>(fields: &mut Fields<N>) -> Result<Priority, ApiError> {
    const FIELD: &str = "priority";
    let Some(value) = fields.take(FIELD) else { return Ok(Priority::Medium) };
    match fields::string(value, Priority::from_name) {
        Ok(Some(priority)) => Ok(priority),
        Ok(None) => Err(ApiError::field(FIELD, "Input should be low, medium or high", "string_pattern_mismatch")),
        Err(no_string) => Err(ApiError::field(FIELD, no_string.msg, no_string.kind)),
    }
}

/// A whole number within bounds. `null` is what version 1's clients send for "not set".
fn number<const N: usize>(
    fields: &mut Fields<N>,
    field: &'static str,
    (least, most): (u64, u64),
) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take(field).filter(|value| !fields::is_null(value)) else { return Ok(None) };
    // 60.0 is a whole number too, in JSON Schema as for version 1.
    let whole = fields::number(value).filter(|number| number.fract() == 0.0 || number.is_infinite()).map(saturating);
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
    use serde_json::{Value, json};

    use super::*;
    use crate::http::error::ValidationError;

    const DEFAULTS: Defaults = Defaults { max_batch_size: 1000, timeout: Duration::from_mins(5) };

    fn submission(body: &Value) -> Result<Submission, Vec<ValidationError>> {
        super::submission(&body.to_string(), 512, DEFAULTS).map_err(|error| match error {
            ApiError::Validation(errors) => errors,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let found = submission(&json!({ "texts": [" a "] })).unwrap();
        assert_eq!(found.texts, [Ok(jobs::Text { content: "a".to_owned(), characters: 1 })]);
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
            ("max_batch_size", json!(true), "int_type"),
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
        let body = json!({ "texts": ["long"], "priority": "urgent" }).to_string();
        let error = super::submission(&body, 3, DEFAULTS).unwrap_err();
        assert_eq!(error, ApiError::TextTooLong { characters: 4, most: 3 });
    }

    #[test]
    fn a_bad_text_has_failed_in_a_job_of_others() {
        let found = submission(&json!({ "texts": ["a", 7, "é".repeat(513)] })).unwrap();
        let failed = found.texts.into_iter().filter_map(Result::err);
        let failed: Vec<_> = failed.map(|refused| (refused.characters, refused.failure.code)).collect();
        assert_eq!(failed, [(0, "E1001"), (513, "E1002")]);
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
