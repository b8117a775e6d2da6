//! Takes optional fields out of a body, and collects what is wrong with them.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{
    ApiError,
    error::{Location, ValidationError},
};

/// A JSON object whose fields are taken one by one. A field that is null counts as left out.
pub(super) struct Fields {
    fields: Map<String, Value>,
    problems: Vec<ValidationError>,
}

impl Fields {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self { fields, problems: Vec::new() }
    }

    /// The value as it came.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field)
    }

    /// Notes a problem with a field. Returns nothing, for use in its place.
    pub(super) fn problem<T>(&mut self, field: &'static str, msg: impl Into<String>, kind: &'static str) -> Option<T> {
        let loc = vec![Location::Name("body"), Location::Name(field)];
        self.problems.push(ValidationError { loc, msg: msg.into(), kind });
        None
    }

    /// Takes over another check's problems. An error of another kind is the answer to the request.
    pub(super) fn check<T>(&mut self, result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(ApiError::Validation(problems)) => {
                self.problems.extend(problems);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// A text of at most so many characters.
    pub(super) fn text(&mut self, field: &'static str, most: usize) -> Option<String> {
        match self.take(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.chars().count() <= most => Some(text),
            Some(Value::String(_)) => {
                self.problem(field, format!("String should have at most {most} characters"), "string_too_long")
            }
            Some(_) => self.problem(field, "Input should be a valid string", "string_type"),
        }
    }

    /// A number within a range.
    pub(super) fn number(&mut self, field: &'static str, within: &RangeInclusive<f64>) -> Option<f64> {
        match self.take(field) {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => match number.as_f64() {
                Some(number) if number < *within.start() => {
                    let msg = format!("Input should be greater than or equal to {}", within.start());
                    self.problem(field, msg, "greater_than_equal")
                }
                Some(number) if number > *within.end() => {
                    let msg = format!("Input should be less than or equal to {}", within.end());
                    self.problem(field, msg, "less_than_equal")
                }
                number => number,
            },
            Some(_) => self.problem(field, "Input should be a valid number", "float_type"),
        }
    }

    /// A truth value.
    pub(super) fn boolean(&mut self, field: &'static str) -> Option<bool> {
        match self.take(field) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(truth)) => Some(truth),
            Some(_) => self.problem(field, "Input should be a valid boolean", "bool_type"),
        }
    }

    /// Answers the request with all problems, if there are any.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::Validation(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Fields {
        Fields::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_right_is_taken() {
        let mut fields = fields(&json!({ "a": "éé", "b": 1, "c": true, "d": null }));
        assert_eq!(fields.text("a", 2).as_deref(), Some("éé"));
        assert_eq!(fields.number("b", &(0.0..=1.0)), Some(1.0));
        assert_eq!(fields.boolean("c"), Some(true));
        assert_eq!((fields.text("d", 1), fields.number("e", &(0.0..=1.0)), fields.boolean("f")), (None, None, None));
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let mut fields = fields(&json!({ "a": "ééé", "b": 1.5, "c": -1, "d": "yes", "e": [], "f": "0.5" }));
        assert!(fields.text("a", 2).is_none() && fields.number("b", &(0.0..=1.0)).is_none());
        assert!(fields.number("c", &(0.0..=1.0)).is_none() && fields.boolean("d").is_none());
        assert!(fields.text("e", 2).is_none() && fields.number("f", &(0.0..=1.0)).is_none());
        let Err(ApiError::Validation(problems)) = fields.finish() else {
            panic!("nothing was wrong");
        };
        let found: Vec<_> = problems.iter().map(|problem| (&problem.loc[1], problem.kind)).collect();
        let kinds =
            ["string_too_long", "less_than_equal", "greater_than_equal", "bool_type", "string_type", "float_type"];
        let expected: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(Location::Name).into_iter().zip(kinds).collect();
        assert_eq!(found, expected.iter().map(|(name, kind)| (name, *kind)).collect::<Vec<_>>());
    }
}
