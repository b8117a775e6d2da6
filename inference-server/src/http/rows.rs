//! The texts of a body, row by row: those that are good, and what is wrong with the others.

use futures::TryStreamExt;
use serde::de::{Error, SeqAccess};

use super::{
    ApiError,
    elements::Elements,
    error::Location,
    fields::{Fields, Raw},
    texts::{self, Refused},
};
use crate::predict::{Call, PredictError, Prediction, Predictor, ServedModel, Text};

/// Texts in one request.
pub(crate) const MOST_TEXTS: usize = 1000;

/// The field that they are in.
const FIELD: &str = "texts";

/// A text of several, or why it is none.
pub(super) type Row = Result<Text, Refused>;

/// Reads the list of texts. It stops at the first that is too much.
#[derive(Debug)]
pub(super) struct Rows {
    longest: usize,
    found: Found,
    read: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    List,
    TooMany,
    Other,
}

impl Rows {
    /// Texts of at most so many characters.
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, found: Found::Nothing, read: Vec::new() }
    }

    /// Reads a body and its other fields.
    pub(super) fn read<'a, const N: usize>(
        &mut self,
        json: &'a str,
        names: [&'static str; N],
    ) -> Result<Fields<'a, N>, ApiError> {
        Fields::read_with(json, names, Some((FIELD, self))).map_err(|error| match self.found {
            Found::TooMany => {
                ApiError::field(FIELD, format!("List should have at most {MOST_TEXTS} items"), "too_long")
            }
            _ => error,
        })
    }

    /// The rows. Where there are none, or none is good, that is an error.
    pub(super) fn finish<const N: usize>(self, fields: &Fields<N>) -> Result<Vec<Row>, ApiError> {
        match self.found {
            Found::Nothing => Err(fields.missing(FIELD)),
            Found::Other => Err(ApiError::field(FIELD, "Input should be a valid list", "list_type")),
            _ if self.read.is_empty() => Err(ApiError::field(FIELD, "List should have at least 1 item", "too_short")),
            _ if self.read.iter().all(Result::is_err) => Err(all_of(self.read)),
            _ => Ok(self.read),
        }
    }
}

/// What is wrong with rows, as one error.
pub(super) fn all_of<T>(rows: Vec<Result<T, Refused>>) -> ApiError {
    ApiError::all_of(rows.into_iter().filter_map(Result::err).map(|refused| refused.error))
}

/// Answers the rows that are texts, and leaves the others as they are.
pub(super) async fn predict(
    predictor: &Predictor,
    model: &ServedModel,
    rows: Vec<Row>,
    call: Call,
) -> Result<Vec<Result<Prediction, Refused>>, ApiError> {
    let lengths: Vec<usize> = rows.iter().flatten().map(|text| text.characters).collect();
    let (mut texts, mut refused) = (Vec::with_capacity(lengths.len()), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        match row {
            Ok(text) => texts.push(text),
            Err(error) => refused.push((index, error)),
        }
    }
    let answers: Vec<_> = predictor.predict_each(model, texts, call).try_collect().await?;
    let own = |(answer, characters): (Result<_, _>, usize)| {
        answer.map_err(|error: PredictError| Refused { characters, error: error.into() })
    };
    let mut all: Vec<_> = answers.into_iter().zip(lengths).map(own).collect();
    // In ascending order, so that each comes to the place that it had.
    for (index, error) in refused {
        all.insert(index, Err(error));
    }
    Ok(all)
}

impl<'de> Elements<'de> for Rows {
    fn begin(&mut self) {
        self.found = Found::List;
        self.read.clear();
    }

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(value) = list.next_element::<Raw>()? else { return Ok(false) };
        if self.read.len() == MOST_TEXTS {
            self.found = Found::TooMany;
            return Err(A::Error::custom("too many texts"));
        }
        let field = [Location::Name(FIELD), Location::Index(self.read.len())];
        self.read.push(texts::of(value, &field, self.longest));
        Ok(true)
    }

    fn string(&mut self, _: &str) {
        self.other();
    }

    fn other(&mut self) {
        self.found = Found::Other;
        self.read.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(json: &str) -> Result<Vec<Row>, ApiError> {
        let mut rows = Rows::new(9);
        let fields = rows.read(json, [])?;
        rows.finish(&fields)
    }

    fn kinds(error: &ApiError) -> Vec<(Location, &'static str)> {
        match error {
            ApiError::Validation(problems) => {
                problems.iter().map(|problem| (problem.loc.last().unwrap().clone(), problem.kind)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_row_leaves_the_others_as_they_are() {
        let rows = rows(r#"{"texts":["a","",7," b ","\ud83d",{"a":[1e999]},"0123456789"]}"#).unwrap();
        let good: Vec<_> = rows.iter().flatten().map(|text| text.content.as_str()).collect();
        assert_eq!(good, ["a", "b"]);
        let bad: Vec<_> = rows.into_iter().filter_map(Result::err).collect();
        let found: Vec<_> = bad[..4].iter().flat_map(|refused| kinds(&refused.error)).collect();
        let expected = [(1, "string_too_short"), (2, "string_type"), (4, "string_unicode"), (5, "string_type")];
        assert_eq!(found, expected.map(|(index, kind)| (Location::Index(index), kind)));
        let too_long = ApiError::TextTooLong { characters: 10, most: 9 };
        assert_eq!(bad[4], Refused { characters: 10, error: too_long });
    }

    #[test]
    fn where_none_is_good_every_problem_of_every_text_is_named() {
        let error = rows(r#"{"texts":["",7]}"#).unwrap_err();
        assert_eq!(kinds(&error), [(Location::Index(0), "string_too_short"), (Location::Index(1), "string_type")]);
        let error = rows(r#"{"texts":["","0123456789"]}"#).unwrap_err();
        assert_eq!(error, ApiError::TextTooLong { characters: 10, most: 9 });
    }

    #[test]
    fn one_to_a_thousand_texts() {
        let body = |count: usize| serde_json::json!({ "texts": vec!["a"; count] }).to_string();
        assert_eq!(rows(&body(1000)).unwrap().len(), 1000);
        let kind = |json: &str| kinds(&rows(json).unwrap_err())[0].1;
        assert_eq!(kind(&body(1001)), "too_long");
        assert_eq!(kind(&body(0)), "too_short");
        assert_eq!(kind(r#"{"texts":"a"}"#), "list_type");
        assert_eq!(kind(r#"{"texts":{"a":["b"]}}"#), "list_type");
        assert_eq!(kind(r#"{"texts":null}"#), "list_type");
        assert_eq!(kind("{}"), "missing");
    }

    #[test]
    fn nothing_is_read_behind_one_text_too_many() {
        let body = format!(r#"{{"texts":[{}7 this is no JSON"#, "7,".repeat(1000));
        assert_eq!(kinds(&rows(&body).unwrap_err())[0].1, "too_long");
    }

    #[test]
    fn of_two_lists_the_later_counts() {
        let rows = rows(r#"{"texts":["a","b"],"texts":["c"]}"#).unwrap();
        assert_eq!(rows.into_iter().map(|row| row.unwrap().content).collect::<Vec<_>>(), ["c"]);
    }
}
