//! The outputs that a request asks for.

use serde::de::{DeserializeSeed, Error, SeqAccess};

use super::{
    OUTPUTS,
    request::{named, protocol, refuse},
};
use crate::http::{
    ApiError,
    elements::{Elements, ListOf},
    error::quoted,
    fields::{self, Raw},
};

const NO_OUTPUTS: &str = "the outputs must be a list of objects with a name";

/// The names of the outputs to answer.
pub(super) fn wanted(outputs: Option<Raw>) -> Result<Vec<&'static str>, ApiError> {
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
