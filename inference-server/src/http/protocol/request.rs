//! What a request for an inference says. It is read as it comes, and no further than it may be good.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{ArrayBuilder, OneOfBuilder, Schema},
    },
};

use super::{OUTPUTS, TEXT};
use crate::http::{
    ApiError,
    error::quoted,
    fields::{self, Elements, Known, ListOf, Raw},
    rows::MOST_TEXTS,
    texts::Text,
};

/// Longest id, in characters.
const LONGEST_ID: usize = 256;

/// Sides of a shape. Of those that hold something most are 1.
const MOST_SIDES: usize = 16;

/// The body as documented; [`parse`] reads it.
#[derive(ToSchema)]
#[schema(as = InferRequest, example = json!({
    "inputs": [{ "name": "text", "shape": [2], "datatype": "BYTES", "data": ["I love this product", "It is awful"] }]
}))]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Request {
    /// Echoed in the answer.
    #[schema(max_length = 256)]
    id: Option<String>,
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<Input>,
    /// The outputs that are wanted; all when there are none.
    #[schema(max_items = 3)]
    outputs: Option<Vec<Requested>>,
}

#[derive(ToSchema)]
#[schema(as = InferInput)]
#[expect(dead_code, reason = "only its shape is used")]
struct Input {
    #[schema(pattern = "^text$", example = "text")]
    name: String,
    /// Its product is the number of texts, 1 to 1000.
    #[schema(value_type = Vec<Side>, min_items = 1, max_items = 16)]
    shape: Vec<usize>,
    #[schema(pattern = "^BYTES$", example = "BYTES")]
    datatype: String,
    /// The texts, flat or nested by shape.
    #[schema(min_items = 1)]
    data: Vec<Element>,
}

/// A side of a shape, in the document.
#[derive(ToSchema)]
#[schema(as = InferSide, minimum = 1, maximum = 1000)]
#[expect(dead_code, reason = "only its shape is used")]
struct Side(usize);

/// What data is made of, in the document: a text, or a list of elements.
struct Element;

impl utoipa::PartialSchema for Element {
    fn schema() -> RefOr<Schema> {
        let nested = ArrayBuilder::new().items(Ref::from_schema_name(Self::name()));
        OneOfBuilder::new().item(Ref::from_schema_name(Text::name())).item(nested).into()
    }
}

impl ToSchema for Element {
    fn name() -> Cow<'static, str> {
        "InferElement".into()
    }
}

#[derive(ToSchema)]
#[schema(as = InferRequestedOutput)]
#[expect(dead_code, reason = "only its shape is used")]
struct Requested {
    #[schema(pattern = "^(label|score|truncated)$", example = "label")]
    name: String,
}

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) id: Option<String>,
    pub(super) shape: Vec<usize>,
    pub(super) texts: Vec<Text>,
    pub(super) wanted: Vec<&'static str>,
}

/// Reads a body with texts of at most so many characters.
pub(super) fn parse(json: &str, longest: usize) -> Result<Parsed, ApiError> {
    let mut body = Body { expected: "the body must be a JSON object", data: Data::new(longest), ..Body::default() };
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = (&mut reader).deserialize_map(Object(Level::Request, &mut body)).and_then(|()| reader.end());
    match (read, body.data.refused.take()) {
        (_, Some(error)) => return Err(error),
        // The error's own words would repeat what was sent.
        (Err(error), None) if error.is_data() => return refuse(body.expected),
        (Err(error), None) => match body.data.broken {
            Some(index) => return refuse(format!("text {index}: {error}")),
            None => return refuse(error.to_string()),
        },
        (Ok(()), None) => {}
    }
    let Body { id, shape, outputs, .. } = body;
    match body.inputs {
        None => return refuse("missing field `inputs`"),
        Some(1) => {}
        Some(count) => return refuse(format!("the model has 1 input, not {count}")),
    }
    let (name, datatype) = (named("name", body.name)?, named("datatype", body.datatype)?);
    if name != TEXT || datatype != "BYTES" {
        let (name, datatype) = (quoted(&name), quoted(&datatype));
        return refuse(format!("the input is {name} of {datatype}, but must be \"text\" of \"BYTES\""));
    }
    let shape = sides(shape.ok_or_else(|| protocol("missing field `shape`"))?)?;
    let texts = body.data.finish()?;
    let elements = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    if shape.is_empty() || elements != Some(texts.len()) {
        return refuse(format!("the shape {shape:?} does not hold the {} elements of the data", texts.len()));
    }
    if texts.is_empty() {
        return refuse(format!("1 to {MOST_TEXTS} texts are allowed, not 0"));
    }
    let wanted = wanted(outputs)?;
    Ok(Parsed { id: id.map(short_id).transpose()?.flatten(), shape, texts, wanted })
}

fn protocol(problem: impl Into<String>) -> ApiError {
    ApiError::Protocol(problem.into())
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, ApiError> {
    Err(protocol(problem))
}

fn short_id(id: Raw) -> Result<Option<String>, ApiError> {
    if fields::is_null(id) {
        return Ok(None);
    }
    let is_short = |id: &str| id.chars().take(LONGEST_ID + 1).count() <= LONGEST_ID;
    match fields::string(id, |id| is_short(id).then(|| id.to_owned())) {
        Ok(Some(id)) => Ok(Some(id)),
        Ok(None) => refuse(format!("the id may have {LONGEST_ID} characters")),
        Err(_) => refuse("the id must be a string"),
    }
}

/// A short string of the input. Of a longer one only the start is of use.
fn named(field: &str, value: Option<Raw>) -> Result<String, ApiError> {
    let value = value.ok_or_else(|| protocol(format!("missing field `{field}`")))?;
    let start = |text: &str| text.chars().take(100).collect();
    fields::string(value, start).map_err(|_| protocol(format!("the input's {field} must be a string")))
}

/// The sides of a shape.
fn sides(shape: Raw) -> Result<Vec<usize>, ApiError> {
    struct Sides(Vec<usize>);

    impl<'de> Visitor<'de> for Sides {
        type Value = Vec<usize>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a shape")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<usize>, A::Error> {
            while let Some(side) = list.next_element()? {
                if self.0.len() == MOST_SIDES {
                    return Err(A::Error::custom("too many sides"));
                }
                self.0.push(side);
            }
            Ok(self.0)
        }
    }

    serde_json::Deserializer::from_str(shape.get())
        .deserialize_seq(Sides(Vec::new()))
        .map_err(|_| protocol(format!("the shape must be a list of 1 to {MOST_SIDES} whole numbers from 0")))
}

/// The names of the outputs to answer.
fn wanted(outputs: Option<Raw>) -> Result<Vec<&'static str>, ApiError> {
    let Some(outputs) = outputs.filter(|outputs| !fields::is_null(outputs)) else { return Ok(OUTPUTS.to_vec()) };
    let mut wanted = Wanted::default();
    // Only an error of its own stops the reading of what was found to be JSON.
    let _ = ListOf(&mut wanted).deserialize(&mut serde_json::Deserializer::from_str(outputs.get()));
    match wanted {
        Wanted { refused: Some(error), .. } => Err(error),
        Wanted { names, .. } if names.is_empty() => Ok(OUTPUTS.to_vec()),
        Wanted { names, .. } => Ok(names),
    }
}

#[derive(Default)]
struct Wanted {
    names: Vec<&'static str>,
    refused: Option<ApiError>,
}

impl Wanted {
    /// The output of an element.
    fn name(element: Raw) -> Result<&'static str, ApiError> {
        let mut fields = fields::Fields::read(element.get(), ["name"]).map_err(|_| protocol(NO_OUTPUTS))?;
        let name = named("output name", fields.take("name"))?;
        let known = OUTPUTS.into_iter().find(|known| *known == name);
        let unknown = || format!("the model has the outputs label, score and truncated, but no {}", quoted(&name));
        known.ok_or_else(|| protocol(unknown()))
    }
}

const NO_OUTPUTS: &str = "the outputs must be a list of objects with a name";

impl<'de> Elements<'de> for Wanted {
    fn begin(&mut self) {}

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(element) = list.next_element::<Raw>()? else { return Ok(false) };
        let found = if self.names.len() == OUTPUTS.len() {
            refuse(format!("the model has {} outputs, not more", OUTPUTS.len()))
        } else {
            Self::name(element)
        };
        match found {
            Ok(name) => self.names.push(name),
            Err(error) => {
                self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(true)
    }

    fn string(&mut self, _: &str) {
        self.other();
    }

    fn other(&mut self) {
        self.refused = Some(protocol(NO_OUTPUTS));
    }
}

/// What is read of a body.
#[derive(Default)]
struct Body<'a> {
    /// What must be where the reading is.
    expected: &'static str,
    id: Option<Raw<'a>>,
    /// How many there are, where more than one is as good as two.
    inputs: Option<usize>,
    name: Option<Raw<'a>>,
    shape: Option<Raw<'a>>,
    datatype: Option<Raw<'a>>,
    data: Data,
    outputs: Option<Raw<'a>>,
}

#[derive(Clone, Copy)]
enum Level {
    Request,
    Input,
}

/// Reads an object of a level.
struct Object<'b, 'a>(Level, &'b mut Body<'a>);

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(level, body) = self;
        let names: &[&'static str] = match level {
            Level::Request => &["id", "outputs", "inputs"],
            Level::Input => &["name", "shape", "datatype", "data"],
        };
        while let Some(place) = map.next_key_seed(Known(names))? {
            match (level, place) {
                (Level::Request, Some(0)) => body.id = Some(map.next_value()?),
                (Level::Request, Some(1)) => body.outputs = Some(map.next_value()?),
                (Level::Request, Some(_)) => {
                    body.expected = "the inputs must be a list of one object";
                    map.next_value_seed(Inputs(body))?;
                }
                (Level::Input, Some(0)) => body.name = Some(map.next_value()?),
                (Level::Input, Some(1)) => body.shape = Some(map.next_value()?),
                (Level::Input, Some(2)) => body.datatype = Some(map.next_value()?),
                (Level::Input, Some(_)) => map.next_value_seed(ListOf(&mut body.data))?,
                (_, None) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the list of inputs, of which there may be one.
struct Inputs<'b, 'a>(&'b mut Body<'a>);

impl<'de> DeserializeSeed<'de> for Inputs<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inputs<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(body) = self;
        body.inputs = Some(0);
        (body.name, body.shape, body.datatype) = (None, None, None);
        body.data = Data::new(body.data.longest);
        if list.next_element_seed(Object(Level::Input, body))?.is_some() {
            body.inputs = Some(1);
            if list.next_element::<IgnoredAny>()?.is_some() {
                body.expected = "the model has 1 input, not more";
                return Err(A::Error::custom("too many inputs"));
            }
        }
        Ok(())
    }
}

/// The texts, flat or nested. The first that is none ends the reading.
#[derive(Default)]
struct Data {
    longest: usize,
    depth: usize,
    is_there: bool,
    /// The text at which the JSON is broken.
    broken: Option<usize>,
    texts: Vec<Text>,
    refused: Option<ApiError>,
}

impl Data {
    fn new(longest: usize) -> Self {
        Self { longest, ..Self::default() }
    }

    fn finish(self) -> Result<Vec<Text>, ApiError> {
        if self.is_there { Ok(self.texts) } else { refuse("missing field `data`") }
    }

    fn refuse(&mut self, problem: impl Into<String>) {
        self.refused.get_or_insert_with(|| protocol(problem));
    }

    /// Whether one more may come.
    fn has_room(&mut self) -> bool {
        let has_room = self.depth > 0 && self.texts.len() < MOST_TEXTS;
        if self.depth == 0 {
            self.refuse("the data must be a list of texts, flat or nested by shape");
        } else if !has_room {
            self.refuse(format!("1 to {MOST_TEXTS} texts are allowed, not more"));
        }
        has_room
    }
}

impl<'de> Elements<'de> for Data {
    fn begin(&mut self) {
        if self.depth == 0 {
            self.is_there = true;
            self.texts.clear();
        }
    }

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        self.depth += 1;
        let read = list.next_element_seed(ListOf(&mut *self));
        self.depth -= 1;
        if self.refused.is_some() {
            return Err(A::Error::custom("refused"));
        }
        if read.is_err() {
            self.broken.get_or_insert(self.texts.len());
        }
        Ok(read?.is_some())
    }

    fn string(&mut self, text: &str) {
        if self.has_room() {
            match Text::check(text, &[], self.longest) {
                Ok(text) => self.texts.push(text),
                Err(refused) => {
                    let error = match refused.error {
                        // The protocol has one status for all that is wrong with a body.
                        error @ ApiError::Validation(_) => protocol(error.to_string()),
                        other => other,
                    };
                    self.refused = Some(ApiError::AtText { index: self.texts.len(), error: Box::new(error) });
                }
            }
        }
    }

    fn other(&mut self) {
        if self.has_room() {
            self.refuse(format!("text {}: Input should be a valid string", self.texts.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    fn refused(body: &Value) -> String {
        let error = parse(&body.to_string(), 9).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{error}");
        error.to_string()
    }

    fn body(shape: &Value, data: &Value) -> Value {
        json!({ "inputs": [{ "name": "text", "shape": shape, "datatype": "BYTES", "data": data }] })
    }

    #[test]
    fn data_is_flat_or_nested() {
        for data in [json!(["a", " b "]), json!([["a"], ["b"]])] {
            let parsed = parse(&body(&json!([2, 1]), &data).to_string(), 9).unwrap();
            let texts: Vec<_> = parsed.texts.iter().map(|text| text.content.as_str()).collect();
            assert_eq!((texts, parsed.shape), (vec!["a", "b"], vec![2, 1]));
            assert_eq!(parsed.wanted, ["label", "score", "truncated"]);
        }
    }

    #[test]
    fn what_it_does_not_know_is_left_alone() {
        let json = r#"{"id":"7","parameters":{"a":[1e999]},"outputs":[{"name":"score","parameters":{"binary_data":true}}],
            "inputs":[{"data":["a"],"shape":[1],"parameters":{},"datatype":"BYTES","name":"text"}]}"#;
        let parsed = parse(json, 9).unwrap();
        assert_eq!((parsed.id.as_deref(), parsed.wanted), (Some("7"), vec!["score"]));
        for nothing in [json!(null), json!([])] {
            let mut body = body(&json!([1]), &json!(["a"]));
            (body["outputs"], body["id"]) = (nothing, json!(null));
            let parsed = parse(&body.to_string(), 9).unwrap();
            assert_eq!((parsed.id, parsed.wanted.len()), (None, 3));
        }
    }

    #[test]
    fn what_does_not_follow_the_protocol_is_refused_in_a_sentence() {
        let of = |field: &str, value: Value| {
            let mut body = body(&json!([1]), &json!(["a"]));
            body[field] = value;
            body
        };
        for (body, sentence) in [
            (body(&json!([3]), &json!(["a"])), "the shape [3] does not hold the 1 elements of the data"),
            (body(&json!([]), &json!(["a"])), "the shape [] does not hold the 1 elements of the data"),
            (body(&json!([u64::MAX, 2]), &json!(["a"])), "does not hold the 1 elements of the data"),
            (body(&json!([0]), &json!([])), "1 to 1000 texts are allowed, not 0"),
            (body(&json!([1001]), &json!(vec!["a"; 1001])), "1 to 1000 texts are allowed, not more"),
            (body(&json!(vec![1; 17]), &json!(["a"])), "the shape must be a list of 1 to 16 whole numbers from 0"),
            (body(&json!([-1]), &json!(["a"])), "the shape must be a list of 1 to 16 whole numbers from 0"),
            (body(&json!([2]), &json!(["a", 7])), "text 1: Input should be a valid string"),
            (body(&json!([2]), &json!([["a"], [null]])), "text 1: Input should be a valid string"),
            (body(&json!([2]), &json!(["a", " "])), "text 1: String should have at least 1 character"),
            (body(&json!([1]), &json!(["a".repeat(10)])), "text 0: the text has 10 characters, and at most 9 are"),
            (body(&json!([1]), &json!("a")), "the data must be a list of texts, flat or nested by shape"),
            (body(&json!([1]), &json!({ "a": "b" })), "the data must be a list of texts, flat or nested by shape"),
            (json!({ "inputs": [] }), "the model has 1 input, not 0"),
            (json!({ "inputs": [{}, {}] }), "the model has 1 input, not more"),
            (json!({ "inputs": "secret" }), "the inputs must be a list of one object"),
            (json!({ "inputs": ["secret"] }), "the inputs must be a list of one object"),
            (json!({ "inputs": [{}] }), "missing field `name`"),
            (json!({}), "missing field `inputs`"),
            (json!("secret"), "the body must be a JSON object"),
            (of("id", json!("é".repeat(257))), "the id may have 256 characters"),
            (of("id", json!(7)), "the id must be a string"),
            (
                of("outputs", json!([{ "name": "logits" }])),
                "the model has the outputs label, score and truncated, but no \"logits\"",
            ),
            (of("outputs", json!(vec![json!({ "name": "label" }); 4])), "the model has 3 outputs, not more"),
            (of("outputs", json!(["label"])), "the outputs must be a list of objects with a name"),
            (of("outputs", json!("label")), "the outputs must be a list of objects with a name"),
            (
                json!({ "inputs": [{ "name": "x".repeat(100), "shape": [1], "datatype": "INT64", "data": ["a"] }] }),
                &format!("the input is \"{}\"… of \"INT64\", but must be \"text\" of \"BYTES\"", "x".repeat(64)),
            ),
        ] {
            let found = refused(&body);
            assert!(found.starts_with(sentence) || found.ends_with(sentence), "{found} for {body}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn nothing_is_read_behind_what_is_too_much() {
        let before = r#"{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":[["#;
        let error = parse(&format!("{before}{}\"a\" this is no JSON", "\"a\",".repeat(1000)), 9).unwrap_err();
        assert_eq!(error.to_string(), "1 to 1000 texts are allowed, not more");
    }

    #[test]
    fn what_is_no_json_says_where() {
        assert_eq!(parse("{\"inputs\":x", 9).unwrap_err().to_string(), "expected value at line 1 column 11");
        let error = parse(&body(&json!([1]), &json!(["A"])).to_string().replace('A', r"\ud83d"), 9).unwrap_err();
        assert!(error.to_string().starts_with("text 0: "), "{error}");
    }
}
