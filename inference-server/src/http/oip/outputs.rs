//! The outputs that a request asks for.

use serde::de::{DeserializeSeed, Error, SeqAccess};
use serde_json::value::RawValue;

use super::request::{KnownParameters, named, parameter, protocol, refuse};
use crate::http::{
    ApiError,
    elements::{Elements, ListOf},
    error::quoted,
    fields::{self, Fields, Raw},
};
use crate::open_inference::Output;

const NO_OUTPUTS: &str = "the outputs must be a list of objects with a name";

/// An output that is wanted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) output: Output,
    /// As bytes behind the JSON.
    pub(super) in_binary: bool,
    /// As strings of the highest numbers, so many of them.
    pub(super) classes: Option<usize>,
}

/// The outputs to answer, in binary where that is the request's default and they don't say otherwise.
pub(super) fn wanted(outputs: Option<Raw>, in_binary: bool) -> Result<Vec<Wanted>, ApiError> {
    let mut list = List { in_binary, wanted: Vec::new(), refused: None };
    if let Some(outputs) = outputs.filter(|outputs| !fields::is_null(outputs)) {
        // Only an error of its own stops the reading of what was found to be JSON.
        let _ = ListOf(&mut list).deserialize(&mut serde_json::Deserializer::from_str(outputs.get()));
    }
    match list {
        List { refused: Some(error), .. } => Err(error),
        List { wanted, .. } if wanted.is_empty() => {
            Ok(Output::USUAL.map(|output| Wanted { output, in_binary, classes: None }).into())
        }
        List { wanted, .. } => Ok(wanted),
    }
}

/// A parameter that is true or false.
pub(super) fn flag(parameters: &mut KnownParameters, name: &str) -> Result<Option<bool>, ApiError> {
    match parameters.take(name).map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => refuse(format!("{name} must be true or false")),
    }
}

/// The parameter `classification`. Triton takes 0 as left out.
fn classes(parameters: &mut KnownParameters) -> Result<Option<usize>, ApiError> {
    let Some(count) = parameters.take("classification").filter(|count| !fields::is_null(count)) else {
        return Ok(None);
    };
    let count = count.get().parse::<u32>().map_err(|_| protocol("classification must be a number of classes"))?;
    Ok(usize::try_from(count).ok().filter(|count| *count > 0))
}

struct List {
    in_binary: bool,
    wanted: Vec<Wanted>,
    refused: Option<ApiError>,
}

impl List {
    /// The output of an element.
    fn read(&self, element: Raw) -> Result<Wanted, ApiError> {
        let mut fields = Fields::read(element.get(), ["name", "parameters"]).map_err(|_| protocol(NO_OUTPUTS))?;
        let name = named("output name", fields.take("name"))?;
        let output = Output::find(&name)
            .map_err(|known| protocol(format!("the model has the outputs {known}, but no {}", quoted(&name))))?;
        let parameters = fields.take("parameters");
        let in_binary = parameter(parameters, |parameters| flag(parameters, "binary_data"))?.unwrap_or(self.in_binary);
        let classes = parameter(parameters, classes)?;
        if classes.is_some() && !output.is_of_classes() {
            return refuse(format!("classification is of probabilities or logits, not of {}", output.name()));
        }
        Ok(Wanted { output, in_binary, classes })
    }
}

impl<'de> Elements<'de> for List {
    fn begin(&mut self) {}

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(element) = list.next_element::<Raw>()? else { return Ok(false) };
        let found = if self.wanted.len() == Output::ALL.len() {
            refuse(format!("the model has {} outputs, not more", Output::ALL.len()))
        } else {
            self.read(element)
        };
        match found {
            Ok(wanted) => self.wanted.push(wanted),
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
