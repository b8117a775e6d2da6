//! What a request for an inference says. It is read as it comes, and no further than it may be good.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::ToSchema;

use super::{
    binary,
    data::Data,
    outputs::{self, Wanted, wanted},
};
use crate::http::{
    ApiError,
    elements::{Known, ListOf},
    error::quoted,
    fields::{self, Fields, Raw},
    openapi::{Failing, shapes},
    rows::MOST_TEXTS,
};
use crate::predict::Text;

/// What is known of parameters, wherever they are.
const PARAMETERS: [&str; 4] = ["binary_data_size", "binary_data_output", "binary_data", "classification"];

/// Parameters that are known.
pub(super) type KnownParameters<'a> = Fields<'a, { PARAMETERS.len() }>;

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
    /// The outputs that are wanted; label, score and truncated when there are none.
    #[schema(max_items = 5)]
    outputs: Option<Vec<Requested>>,
    parameters: Option<Parameters>,
}

/// Parameters of a request. Others are ignored.
#[derive(ToSchema)]
#[schema(as = InferParameters)]
#[expect(dead_code, reason = "only its shape is used")]
struct Parameters {
    /// Whether outputs follow the JSON as bytes where they don't say so themselves.
    binary_data_output: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = InferInput)]
#[expect(dead_code, reason = "only its shape is used")]
struct Input {
    /// Any, as there is one input.
    #[schema(example = "text")]
    name: String,
    /// Its product is the number of texts, 1 to 1000.
    #[schema(value_type = Vec<Side>, min_items = 1, max_items = 16)]
    shape: Vec<usize>,
    #[schema(pattern = "^BYTES$", example = "BYTES")]
    datatype: String,
    /// The texts, flat or nested by shape.
    #[schema(min_items = 1)]
    data: Option<Vec<Element>>,
    parameters: Option<InputParameters>,
}

/// Parameters of an input. Others are ignored.
#[derive(ToSchema)]
#[schema(as = InferInputParameters)]
#[expect(dead_code, reason = "only its shape is used")]
struct InputParameters {
    /// Bytes that follow the JSON in place of `data`.
    binary_data_size: Option<u32>,
}

/// A side of a shape, in the document.
#[derive(ToSchema)]
#[schema(as = InferSide, minimum = 1, maximum = 1000)]
#[expect(dead_code, reason = "only its shape is used")]
struct Side(usize);

shapes::one_of! {
    /// What data is made of, in the document: a text, or a list of elements.
    Element as "InferElement": [shapes::text(), shapes::list_of_any(shapes::named::<Element>())] of []
}

#[derive(ToSchema)]
#[schema(as = InferRequestedOutput)]
#[expect(dead_code, reason = "only its shape is used")]
struct Requested {
    #[schema(pattern = "^(label|score|truncated|probabilities|logits)$", example = "label")]
    name: String,
    parameters: Option<RequestedParameters>,
}

/// Parameters of an output. Others are ignored.
#[derive(ToSchema)]
#[schema(as = InferRequestedParameters)]
#[expect(dead_code, reason = "only its shape is used")]
struct RequestedParameters {
    /// Whether it follows the JSON as bytes.
    binary_data: Option<bool>,
    /// Answers the highest numbers as strings `number:index:label`, so many of them; of probabilities and logits.
    /// 0 is as good as none.
    classification: Option<u32>,
}

/// How a request can be wrong.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let shape = "the shape [3] does not hold the 1 elements of the data".to_owned();
        let too_long = ApiError::TextTooLong { characters: 3000, most: 2000 };
        vec![ApiError::Protocol(shape), ApiError::AtText { index: 0, error: Box::new(too_long) }]
    }
}

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) id: Option<String>,
    pub(super) shape: Vec<usize>,
    pub(super) texts: Vec<Text>,
    pub(super) wanted: Vec<Wanted>,
}

/// Reads a body with texts of at most so many characters, and the binary data that follows it.
pub(super) fn parse(json: &str, tensors: &[u8], longest: usize) -> Result<Parsed, ApiError> {
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
    let Body { id, shape, outputs, data, .. } = body;
    match body.inputs {
        None => return refuse("missing field `inputs`"),
        Some(1) => {}
        Some(count) => return refuse(format!("the model has 1 input, not {count}")),
    }
    let (name, datatype) = (named("name", body.name)?, named("datatype", body.datatype)?);
    if datatype != "BYTES" {
        let (name, datatype) = (quoted(&name), quoted(&datatype));
        return refuse(format!("the input {name} is of {datatype}, but must be of \"BYTES\""));
    }
    let shape = sides(shape.ok_or_else(|| protocol("missing field `shape`"))?)?;
    let size = parameter(body.input_parameters, binary::size)?;
    let texts = match size {
        Some(_) if data.is_there() => return refuse("the input has both data and binary_data_size"),
        Some(size) => binary::texts(size, tensors, longest)?,
        None if tensors.is_empty() => data.finish()?,
        None => {
            let length = tensors.len();
            return refuse(format!("{length} bytes follow the JSON, but the input has no parameter binary_data_size"));
        }
    };
    let elements = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    if shape.is_empty() || elements != Some(texts.len()) {
        return refuse(format!("the shape {shape:?} does not hold the {} elements of the data", texts.len()));
    }
    if texts.is_empty() {
        return refuse(format!("1 to {MOST_TEXTS} texts are allowed, not 0"));
    }
    let in_binary = parameter(body.parameters, |fields| outputs::flag(fields, "binary_data_output"))?;
    let wanted = wanted(outputs, in_binary.unwrap_or_default())?;
    Ok(Parsed { id: id.map(short_id).transpose()?.flatten(), shape, texts, wanted })
}

/// Reads what is known of parameters.
pub(super) fn parameter<T>(
    parameters: Option<Raw>,
    read: impl FnOnce(&mut KnownParameters<'_>) -> Result<Option<T>, ApiError>,
) -> Result<Option<T>, ApiError> {
    let Some(parameters) = parameters.filter(|parameters| !fields::is_null(parameters)) else { return Ok(None) };
    let fields = Fields::read(parameters.get(), PARAMETERS);
    read(&mut fields.map_err(|_| protocol("parameters must be an object"))?)
}

pub(super) fn protocol(problem: impl Into<String>) -> ApiError {
    ApiError::Protocol(problem.into())
}

pub(super) fn refuse<T>(problem: impl Into<String>) -> Result<T, ApiError> {
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
pub(super) fn named(field: &str, value: Option<Raw>) -> Result<String, ApiError> {
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
    input_parameters: Option<Raw<'a>>,
    outputs: Option<Raw<'a>>,
    parameters: Option<Raw<'a>>,
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
            Level::Request => &["id", "outputs", "parameters", "inputs"],
            Level::Input => &["name", "shape", "datatype", "parameters", "data"],
        };
        while let Some(place) = map.next_key_seed(Known(names))? {
            match (level, place) {
                (Level::Request, Some(0)) => body.id = Some(map.next_value()?),
                (Level::Request, Some(1)) => body.outputs = Some(map.next_value()?),
                (Level::Request, Some(2)) => body.parameters = Some(map.next_value()?),
                (Level::Request, Some(_)) => {
                    body.expected = "the inputs must be a list of one object";
                    map.next_value_seed(Inputs(body))?;
                }
                (Level::Input, Some(0)) => body.name = Some(map.next_value()?),
                (Level::Input, Some(1)) => body.shape = Some(map.next_value()?),
                (Level::Input, Some(2)) => body.datatype = Some(map.next_value()?),
                (Level::Input, Some(3)) => body.input_parameters = Some(map.next_value()?),
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
        (body.name, body.shape, body.datatype, body.input_parameters) = (None, None, None, None);
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
