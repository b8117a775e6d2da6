//! Texts of bodies, and what is wrong with those that are none.

use std::{borrow::Cow, time::Duration};

use engine::Rejection;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use super::{
    ApiError,
    error::Location,
    fields::{self, Fields, NoString, Raw},
    openapi::Failing,
};
use crate::predict::{LONGEST_TEXT, PredictError, Text, TextError};

/// How [`Fields::read`] and [`of`] fail.
pub(super) struct Checking;

impl Failing for Checking {
    fn failures() -> Vec<ApiError> {
        let missing = ApiError::field("text", "Field required", "missing");
        vec![missing, ApiError::TextTooLong { characters: 3000, most: 2000 }]
    }
}

/// How a prediction fails.
pub(super) struct Predicting;

impl Failing for Predicting {
    fn failures() -> Vec<ApiError> {
        let errors = [
            PredictError::Unreadable("the text can't be tokenized".to_owned()),
            PredictError::TooManyTokens { tokens: 700, most: 512 },
            PredictError::Failed("the model failed".to_owned()),
            PredictError::NotReady,
            PredictError::Stopping,
            PredictError::Overloaded {
                reason: Rejection::QueueFull,
                detail: "256 texts are waiting already".to_owned(),
                retry_after: 2,
            },
            PredictError::TimedOut(30),
        ];
        errors.map(ApiError::from).into()
    }
}

/// Name of a text's schema.
pub(super) const SCHEMA: &str = "Text";

/// The schema of a text of at most so many characters.
pub(super) fn schema(most: usize) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!(
            "At least one character that isn't white space, which is cut away at both ends. At most {most} characters \
             by this server's settings (`MLOPS_MAX_TEXT_LENGTH`), more is a 400; over {LONGEST_TEXT} is a 422 on any. One \
             in which the model sees nothing, such as a lone control character, is a 400."
        )))
        .min_length(Some(1))
        .max_length(Some(most))
        // What `str::trim` leaves: one character outside of Unicode's White_Space, spelled out since `\S` isn't
        // the same in all dialects.
        .pattern(Some(r"[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"))
        .build()
        .into()
}

/// A text, in the document.
pub(super) struct TextSchema;

impl PartialSchema for TextSchema {
    fn schema() -> RefOr<Schema> {
        schema(LONGEST_TEXT)
    }
}

impl ToSchema for TextSchema {
    fn name() -> Cow<'static, str> {
        SCHEMA.into()
    }
}

/// Why a text isn't taken, and its length as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) characters: usize,
    pub(super) error: ApiError,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// The field `text` of a body.
pub(super) fn read<const N: usize>(fields: &mut Fields<N>, most: usize) -> Result<Text, ApiError> {
    const FIELD: &str = "text";
    let value = fields.take(FIELD).ok_or_else(|| fields.missing(FIELD))?;
    Ok(of(value, &[Location::Name(FIELD)], most)?)
}

/// The field `text_pair` of a body, which may be left out.
pub(super) fn pair<const N: usize>(fields: &mut Fields<N>, most: usize) -> Result<Option<Text>, ApiError> {
    const FIELD: &str = "text_pair";
    let value = fields.take(FIELD).filter(|value| !fields::is_null(value));
    Ok(value.map(|value| of(value, &[Location::Name(FIELD)], most)).transpose()?)
}

/// Takes a value as a text of a length that may be. `field` is where it came from.
pub(super) fn of(value: Raw, field: &[Location], most: usize) -> Result<Text, Refused> {
    match fields::string(value, |text| Text::new(text, most)) {
        Ok(checked) => checked.map_err(|error| refused(&error, field)),
        Err(NoString { msg, kind }) => Err(Refused { characters: 0, error: wrong(field, msg, kind) }),
    }
}

/// What is wrong with a text of several, where the answer is all or nothing.
pub(super) fn at(index: usize, error: TextError) -> ApiError {
    let error = match error {
        TextError::TooLong { characters, most } => ApiError::TextTooLong { characters, most },
        // Their bodies have one status for all that is wrong with them.
        other => ApiError::Protocol(other.to_string()),
    };
    ApiError::AtText { index, error: Box::new(error) }
}

/// What is wrong with a text, in version 1's words.
fn refused(error: &TextError, field: &[Location]) -> Refused {
    let characters = error.characters();
    let error = match *error {
        TextError::Empty => wrong(field, "String should have at least 1 character", "string_too_short"),
        TextError::OverContract { .. } => {
            wrong(field, format!("String should have at most {LONGEST_TEXT} characters"), "string_too_long")
        }
        TextError::TooLong { characters, most } => ApiError::TextTooLong { characters, most },
    };
    Refused { characters, error }
}

fn wrong(field: &[Location], msg: impl Into<String>, kind: &'static str) -> ApiError {
    let loc = std::iter::once(&Location::Name("body")).chain(field).cloned().collect();
    ApiError::at(loc, msg, kind)
}

/// To a thousandth, which is finer than the clock is steady.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: ApiError) -> &'static str {
        match error {
            ApiError::Validation(errors) => errors[0].kind,
            other => panic!("{other:?}"),
        }
    }

    fn text(body: &str, most: usize) -> Result<Text, ApiError> {
        read(&mut Fields::read(body, ["text"])?, most)
    }

    #[test]
    fn bodies() {
        let body = r#"{"text":" a \ud83d\ude00\n","more":1}"#;
        assert_eq!(text(body, 3), Ok(Text { content: "a 😀".to_owned(), pair: None, characters: 3 }));
        for (body, expected) in [
            ("", "json_invalid"),
            ("{", "json_invalid"),
            // Python's JSON takes half a pair, and what reads it there says this.
            (r#"{"text":"\ud83d"}"#, "string_unicode"),
            (r#"["text"]"#, "model_attributes_type"),
            (r#"{"Text":"a"}"#, "missing"),
            (r#"{"text":null}"#, "string_type"),
            (r#"{"text":7}"#, "string_type"),
            (r#"{"text":1e999}"#, "string_type"),
            (r#"{"text":" \t"}"#, "string_too_short"),
        ] {
            assert_eq!(kind(text(body, 9).unwrap_err()), expected, "{body}");
        }
        let deep = format!("{{\"text\":{}", "[".repeat(100_000));
        assert_eq!(kind(text(&deep, 9).unwrap_err()), "json_invalid");
        let closed = format!("{deep}{}}}", "]".repeat(100_000));
        assert_eq!(kind(text(&closed, 9).unwrap_err()), "string_type");
    }

    #[test]
    fn lengths_are_in_characters() {
        let text = |length: usize| text(&format!(r#"{{"text":"{}"}}"#, "é".repeat(length)), 2);
        assert_eq!(text(2).unwrap().characters, 2);
        assert_eq!(text(3), Err(ApiError::TextTooLong { characters: 3, most: 2 }));
        assert_eq!(kind(text(10_001).unwrap_err()), "string_too_long");
    }
}
