//! What a single value is, and whether it has a form.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

/// A type of JSON as schemas call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    Null,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Object,
            Value::Array(_) => Self::Array,
            Value::String(_) => Self::String,
            Value::Number(number) if number.is_i64() || number.is_u64() => Self::Integer,
            // What is written as 1.0 is a whole number to the API server.
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => Self::Integer,
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Null => Self::Null,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Null => "null",
        })
    }
}

/// A pattern as Go reads it: its classes are of ASCII, and a class in a class is none.
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let ascii = pattern.replace(r"\w", "[0-9A-Za-z_]").replace(r"\d", "[0-9]").replace(r"\s", r"[\t\n\f\r ]");
        // What would need more than a class put in its place.
        if ["\\W", "\\D", "\\S", "\\b", "\\B", "\\p", "\\P", "&&", "~~", "[["].iter().any(|sign| pattern.contains(sign))
        {
            return Err("it has signs that Go reads in another way".to_owned());
        }
        Regex::new(&ascii).map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Whether a text has a format; `None` for one that isn't known here.
pub(super) fn has_format(text: &str, format: &str) -> Option<bool> {
    match format {
        // Formats of numbers say nothing about the text of an int-or-string.
        "int32" | "int64" | "double" | "float" => Some(true),
        "date-time" => Some(text.parse::<Timestamp>().is_ok()),
        _ => None,
    }
}

/// Whether a number has a format; `None` for one that isn't known here.
pub(super) fn fits(value: &Value, format: &str) -> Option<bool> {
    let whole = || value.as_f64().unwrap_or(f64::NAN);
    match format {
        "int32" => Some(match value.as_i64() {
            Some(number) => i32::try_from(number).is_ok(),
            None => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole()),
        }),
        "int64" => Some(value.as_i64().is_some() || whole().abs() < 9.2e18),
        "double" | "float" => Some(true),
        _ => None,
    }
}
