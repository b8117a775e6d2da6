//! Takes known fields out of a JSON object, and collects what is wrong with them. Their values stay as they came
//! until a route asks for one, and what it doesn't ask for is never built: a body costs no more than its bytes.

use std::{fmt, ops::RangeInclusive};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    ApiError,
    elements::{Elements, ListOf},
    error::{Location, ValidationError},
};

/// What other servers call a text, or several. A body with one of these and nothing else gets a hint.
const ELSEWHERE: [&str; 5] = ["inputs", "input", "instances", "text", "texts"];

/// A field's value as it came.
pub(super) type Raw<'a> = &'a RawValue;

/// The known fields of a JSON object, which are taken one by one. Of two of a name the later counts. A field that is
/// null counts as left out, unless it is required.
#[derive(Debug)]
pub(super) struct Fields<'a, const N: usize> {
    names: [&'static str; N],
    values: [Option<Raw<'a>>; N],
    elsewhere: Option<&'static str>,
    problems: Vec<ValidationError>,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// The fields of these names.
    pub(super) fn read(json: &'a str, names: [&'static str; N]) -> Result<Self, ApiError> {
        Self::read_with(json, names, None::<(&str, &mut Nothing)>)
    }

    /// The fields of these names, and one whose list is read element by element.
    pub(super) fn read_with<E: Elements<'a>>(
        json: &'a str,
        names: [&'static str; N],
        list: Option<(&'static str, &mut E)>,
    ) -> Result<Self, ApiError> {
        let mut fields = Self { names, values: [None; N], elsewhere: None, problems: Vec::new() };
        let mut reader = serde_json::Deserializer::from_str(json);
        let read = reader.deserialize_map(Object { fields: &mut fields, list }).and_then(|()| reader.end());
        read.map_err(|error| invalid(&error))?;
        Ok(fields)
    }

    /// The value as it came.
    pub(super) fn take(&mut self, field: &str) -> Option<Raw<'a>> {
        let place = self.names.iter().position(|name| *name == field)?;
        self.values[place].take()
    }

    /// Notes a problem with a field. Returns nothing, for use in its place.
    pub(super) fn problem<T>(&mut self, field: &'static str, msg: impl Into<String>, kind: &'static str) -> Option<T> {
        let loc = vec![Location::Name("body"), Location::Name(field)];
        self.problems.push(ValidationError { loc, msg: msg.into(), kind });
        None
    }

    /// What to say when a field isn't there. Who knows it by another name is told.
    pub(super) fn missing(&self, field: &'static str) -> ApiError {
        let msg = match self.elsewhere {
            Some(name) if name != field => format!("Field required: it is called {field:?} here, not {name:?}"),
            _ => "Field required".to_owned(),
        };
        ApiError::field(field, msg, "missing")
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
        let value = self.take(field).filter(|value| !is_null(value))?;
        let is_short = |text: &str| text.chars().take(most + 1).count() <= most;
        match string(value, |text| is_short(text).then(|| text.to_owned())) {
            Ok(Some(text)) => Some(text),
            Ok(None) => self.problem(field, format!("String should have at most {most} characters"), "string_too_long"),
            Err(NoString { msg, kind }) => self.problem(field, msg, kind),
        }
    }

    /// A number within a range.
    pub(super) fn number(&mut self, field: &'static str, within: &RangeInclusive<f64>) -> Option<f64> {
        let value = self.take(field).filter(|value| !is_null(value))?;
        match number(value) {
            Some(number) if number < *within.start() => {
                let msg = format!("Input should be greater than or equal to {}", within.start());
                self.problem(field, msg, "greater_than_equal")
            }
            Some(number) if number > *within.end() => {
                let msg = format!("Input should be less than or equal to {}", within.end());
                self.problem(field, msg, "less_than_equal")
            }
            Some(number) => Some(number),
            None => self.problem(field, "Input should be a valid number", "float_type"),
        }
    }

    /// A truth value.
    pub(super) fn boolean(&mut self, field: &'static str) -> Option<bool> {
        match self.take(field)?.get() {
            "null" => None,
            "true" => Some(true),
            "false" => Some(false),
            _ => self.problem(field, "Input should be a valid boolean", "bool_type"),
        }
    }

    /// Whether there is no problem so far.
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// Answers the request with all problems, if there are any.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::Validation(self.problems)) }
    }
}

/// What an error of reading is to the caller. It repeats nothing of the body.
fn invalid(error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        let loc = vec![Location::Name("body")];
        return ApiError::at(loc, "Input should be a JSON object", "model_attributes_type");
    }
    let loc = vec![Location::Name("body"), Location::Index(error.column())];
    ApiError::at(loc, format!("JSON decode error: {error}"), "json_invalid")
}

pub(super) fn is_null(value: Raw) -> bool {
    value.get() == "null"
}

/// The number that a value is. One that is too large for the type is infinite.
pub(super) fn number(value: Raw) -> Option<f64> {
    // JSON's way to write numbers is also Rust's, which takes some words too.
    let is_number = value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
    value.get().parse().ok().filter(|_| is_number)
}

/// Why a value is no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoString {
    pub(super) msg: &'static str,
    pub(super) kind: &'static str,
}

/// Shows `look` the characters of a string.
pub(super) fn string<T>(value: Raw, look: impl FnOnce(&str) -> T) -> Result<T, NoString> {
    struct Look<F>(F);

    impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Look<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E>(self, text: &str) -> Result<T, E> {
            Ok((self.0)(text))
        }
    }

    if !value.get().starts_with('"') {
        return Err(NoString { msg: "Input should be a valid string", kind: "string_type" });
    }
    // Half a surrogate pair is all that can be wrong with a string that was found to be one.
    serde_json::Deserializer::from_str(value.get()).deserialize_str(Look(look)).map_err(|_| NoString {
        msg: "Input should be a valid string, unable to parse raw data as a unicode string",
        kind: "string_unicode",
    })
}

/// Stands where no list is wanted.
struct Nothing;

impl<'de> Elements<'de> for Nothing {
    fn begin(&mut self) {}

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<IgnoredAny>()?.is_some())
    }

    fn string(&mut self, _: &str) {}

    fn other(&mut self) {}
}

/// Reads an object into its fields.
struct Object<'f, 'a, E, const N: usize> {
    fields: &'f mut Fields<'a, N>,
    list: Option<(&'static str, &'f mut E)>,
}

enum Field {
    Value(usize),
    List,
    Elsewhere(&'static str),
    Unknown,
}

/// Which field a name is.
struct Name<'n> {
    names: &'n [&'static str],
    list: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Field, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(if let Some(place) = self.names.iter().position(|known| *known == name) {
            Field::Value(place)
        } else if self.list == Some(name) {
            Field::List
        } else {
            ELSEWHERE.into_iter().find(|known| *known == name).map_or(Field::Unknown, Field::Elsewhere)
        })
    }
}

impl<'de, E: Elements<'de>, const N: usize> Visitor<'de> for Object<'_, 'de, E, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (names, list) = (self.fields.names, self.list.as_ref().map(|(name, _)| *name));
        while let Some(field) = map.next_key_seed(Name { names: &names, list })? {
            match (field, &mut self.list) {
                (Field::Value(place), _) => self.fields.values[place] = Some(map.next_value()?),
                (Field::List, Some((_, elements))) => map.next_value_seed(ListOf(&mut **elements))?,
                (field, _) => {
                    if let Field::Elsewhere(name) = field {
                        self.fields.elsewhere = Some(name);
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
