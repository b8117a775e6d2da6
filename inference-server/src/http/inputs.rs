//! Texts of a field in the shapes that other servers take: a text, a list of texts, lists of one text or two, objects.
//! They are read as they come, and no further than they may be good.

use serde::de::{DeserializeSeed, Error, SeqAccess};

use super::{
    ApiError,
    elements::{Elements, ListOf},
    fields::{self, Fields, Raw},
    rows::MOST_TEXTS,
    texts,
};
use crate::predict::{Text, TextError};

/// What the elements of a list may be beside texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewise {
    /// Nothing.
    No,
    /// Lists of a text, or of one and another that goes with it.
    Pairs,
    /// Objects with `text`, and `text_pair` that goes with it.
    Objects,
}

impl Elsewise {
    fn expected(self) -> &'static str {
        match self {
            Self::No => "it must be a text",
            Self::Pairs => "it must be a text, or a list of one or two",
            Self::Objects => "it must be a text, or an object with text and text_pair",
        }
    }
}

/// The texts of a field.
#[derive(Debug)]
pub(super) struct Inputs {
    field: &'static str,
    longest: usize,
    elsewise: Elsewise,
    is_there: bool,
    /// Whether it was one text and no list.
    pub(super) is_one: bool,
    /// Elements that were texts by themselves.
    pub(super) plain: usize,
    pub(super) texts: Vec<Text>,
    refused: Option<ApiError>,
}

impl Inputs {
    /// Reads a body with texts of at most so many characters in a field, and its other fields. There is at least one text.
    pub(super) fn read<'a, const N: usize>(
        json: &'a str,
        field: &'static str,
        (longest, elsewise): (usize, Elsewise),
        names: [&'static str; N],
    ) -> Result<(Self, Fields<'a, N>), ApiError> {
        let (texts, refused) = (Vec::new(), None);
        let mut inputs = Self { field, longest, elsewise, is_there: false, is_one: false, plain: 0, texts, refused };
        let read = Fields::read_with(json, names, Some((field, &mut inputs)));
        if let Some(refused) = inputs.refused.take() {
            return Err(refused);
        }
        let fields = read.map_err(sentence)?;
        if !inputs.is_there {
            return Err(ApiError::Protocol(format!("missing field `{field}`")));
        }
        if inputs.texts.is_empty() {
            return Err(ApiError::Protocol(format!("1 to {MOST_TEXTS} texts are allowed, not 0")));
        }
        Ok((inputs, fields))
    }

    fn refuse(&mut self, problem: impl Into<String>) {
        self.refused.get_or_insert_with(|| ApiError::Protocol(problem.into()));
    }

    fn element(&mut self, element: Raw) -> Result<(), ApiError> {
        let index = self.texts.len();
        let expected = || ApiError::Protocol(format!("text {index}: {}", self.elsewise.expected()));
        let text = match (element.get().as_bytes().first(), self.elsewise) {
            (Some(b'"'), _) => {
                self.plain += 1;
                one(element, self.longest)
            }
            (Some(b'['), Elsewise::Pairs) => pair(element, self.longest).ok_or_else(expected)?,
            (Some(b'{'), Elsewise::Objects) => object(element, self.longest).ok_or_else(expected)?,
            _ => return Err(expected()),
        };
        self.texts.push(text.map_err(|problem| problem.at(index))?);
        Ok(())
    }
}

/// What is wrong with a body, in a sentence.
pub(super) fn sentence(error: ApiError) -> ApiError {
    match error {
        ApiError::Validation(_) => ApiError::Protocol(error.to_string()),
        other => other,
    }
}

/// Why an element is no text.
enum Problem {
    Text(TextError),
    Unicode(&'static str),
}

impl Problem {
    fn at(self, index: usize) -> ApiError {
        match self {
            Self::Text(error) => texts::at(index, error),
            Self::Unicode(problem) => ApiError::Protocol(format!("text {index}: {problem}")),
        }
    }
}

fn one(text: Raw, longest: usize) -> Result<Text, Problem> {
    match fields::string(text, |text| Text::new(text, longest)) {
        Ok(text) => text.map_err(Problem::Text),
        Err(problem) => Err(Problem::Unicode(problem.msg)),
    }
}

/// A text, or two of which the other goes with it. `None` for what is neither.
fn pair(list: Raw, longest: usize) -> Option<Result<Text, Problem>> {
    struct Two<'a>([Option<Raw<'a>>; 3], usize);

    impl<'de> Elements<'de> for Two<'de> {
        fn begin(&mut self) {}

        fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
            let Some(element) = list.next_element()? else { return Ok(false) };
            let place = self.0.get_mut(self.1).ok_or_else(|| A::Error::custom("too many texts"))?;
            *place = Some(element);
            self.1 += 1;
            Ok(true)
        }

        fn string(&mut self, _: &str) {}

        fn other(&mut self) {}
    }

    let mut two = Two([None; 3], 0);
    ListOf(&mut two).deserialize(&mut serde_json::Deserializer::from_str(list.get())).ok()?;
    let is_string = |element: &Raw| element.get().starts_with('"');
    match two.0 {
        [Some(text), other, None] if is_string(&text) && other.as_ref().is_none_or(is_string) => {
            Some(with(text, other, longest))
        }
        _ => None,
    }
}

/// The text of an object. `None` for one without.
fn object(object: Raw, longest: usize) -> Option<Result<Text, Problem>> {
    let mut fields = Fields::read(object.get(), ["text", "text_pair"]).ok()?;
    let text = fields.take("text").filter(|text| text.get().starts_with('"'))?;
    let other = fields.take("text_pair").filter(|other| !fields::is_null(other));
    if other.is_some_and(|other| !other.get().starts_with('"')) {
        return None;
    }
    Some(with(text, other, longest))
}

fn with(text: Raw, other: Option<Raw>, longest: usize) -> Result<Text, Problem> {
    let text = one(text, longest)?;
    Ok(text.with_pair(other.map(|other| one(other, longest)).transpose()?))
}

impl<'de> Elements<'de> for Inputs {
    fn begin(&mut self) {
        (self.is_there, self.is_one, self.plain) = (true, false, 0);
        self.texts.clear();
    }

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(element) = list.next_element::<Raw>()? else { return Ok(false) };
        if self.texts.len() == MOST_TEXTS {
            self.refuse(format!("1 to {MOST_TEXTS} texts are allowed, not more"));
        } else if let Err(error) = self.element(element) {
            self.refused = Some(error);
        }
        if self.refused.is_some() { Err(A::Error::custom("refused")) } else { Ok(true) }
    }

    fn string(&mut self, text: &str) {
        self.begin();
        (self.is_one, self.plain) = (true, 1);
        match Text::new(text, self.longest) {
            Ok(text) => self.texts.push(text),
            Err(error) => self.refused = Some(texts::at(0, error)),
        }
    }

    fn other(&mut self) {
        self.refuse(format!("{} must be a text or a list of texts", self.field));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value, elsewise: Elsewise) -> Result<Inputs, String> {
        let body = body.to_string();
        let read = Inputs::read(&body, "inputs", (9, elsewise), ["top_k"]);
        read.map(|(inputs, _)| inputs).map_err(|error| error.to_string())
    }

    fn texts(body: &Value, elsewise: Elsewise) -> Vec<(String, Option<String>)> {
        let inputs = read(&json!({ "inputs": body }), elsewise).unwrap();
        inputs.texts.into_iter().map(|text| (text.content, text.pair)).collect()
    }

    #[test]
    fn texts_come_in_many_shapes() {
        let (a, b) = (("a".to_owned(), None), ("b".to_owned(), None));
        let both = ("a".to_owned(), Some("b".to_owned()));
        assert_eq!(texts(&json!(" a "), Elsewise::No), std::slice::from_ref(&a));
        assert_eq!(texts(&json!(["a", "b"]), Elsewise::No), [a.clone(), b.clone()]);
        assert_eq!(texts(&json!([["a", "b"], ["b"], "a"]), Elsewise::Pairs), [both.clone(), b.clone(), a.clone()]);
        let objects = json!([{ "text": "a", "text_pair": "b" }, "b", { "text": "a", "text_pair": null, "more": 1 }]);
        assert_eq!(texts(&objects, Elsewise::Objects), [both, b, a]);
        let inputs = read(&json!({ "inputs": "a" }), Elsewise::Pairs).unwrap();
        assert_eq!((inputs.is_one, inputs.plain), (true, 1));
        let inputs = read(&json!({ "inputs": [["a"], "b"] }), Elsewise::Pairs).unwrap();
        assert_eq!((inputs.is_one, inputs.plain), (false, 1));
    }

    #[test]
    fn what_is_wrong_is_a_sentence_with_the_place() {
        let inputs = |inputs: Value| json!({ "inputs": inputs });
        let pairs = "it must be a text, or a list of one or two";
        for (body, elsewise, sentence) in [
            (json!({}), Elsewise::No, "missing field `inputs`".to_owned()),
            (json!("secret"), Elsewise::No, "Input should be a JSON object".to_owned()),
            (inputs(json!(7)), Elsewise::No, "inputs must be a text or a list of texts".to_owned()),
            (inputs(json!([])), Elsewise::No, "1 to 1000 texts are allowed, not 0".to_owned()),
            (inputs(json!(vec!["a"; 1001])), Elsewise::No, "1 to 1000 texts are allowed, not more".to_owned()),
            (inputs(json!(["a", 7])), Elsewise::No, "text 1: it must be a text".to_owned()),
            (inputs(json!(["a", ["b"]])), Elsewise::No, "text 1: it must be a text".to_owned()),
            (inputs(json!([["a", "b", "c"]])), Elsewise::Pairs, format!("text 0: {pairs}")),
            (inputs(json!([["a", 7]])), Elsewise::Pairs, format!("text 0: {pairs}")),
            (inputs(json!([[]])), Elsewise::Pairs, format!("text 0: {pairs}")),
            (
                inputs(json!([{ "content": "a" }])),
                Elsewise::Objects,
                "text 0: it must be a text, or an object with text and text_pair".to_owned(),
            ),
            (inputs(json!(["a", " "])), Elsewise::No, "text 1: the text is empty".to_owned()),
            (
                inputs(json!("0123456789")),
                Elsewise::No,
                "text 0: the text has 10 characters, and at most 9 are allowed".to_owned(),
            ),
        ] {
            assert_eq!(read(&body, elsewise).unwrap_err(), sentence, "{body}");
        }
    }

    #[test]
    fn nothing_is_read_behind_what_is_too_much() {
        let json = format!(r#"{{"inputs":[{}"a" this is no JSON"#, "\"a\",".repeat(1000));
        let error = Inputs::read(&json, "inputs", (9, Elsewise::No), []).unwrap_err();
        assert_eq!(error.to_string(), "1 to 1000 texts are allowed, not more");
    }
}
