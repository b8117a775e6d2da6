//! What a request for an inference says.

use std::str;

use prost::bytes::Bytes;

use super::{
    error::CallError,
    outputs,
    proto::{
        InferTensorContents, ModelInferRequest, infer_parameter::ParameterChoice, model_infer_request::InferInputTensor,
    },
    raw,
};
use crate::{
    http::{error::quoted, rows::MOST_TEXTS},
    open_inference::Output,
    predict::Text,
};

/// Longest id, in characters, as over REST.
const LONGEST_ID: usize = 256;

/// Sides of a shape. Of those that hold something most are 1.
const MOST_SIDES: usize = 16;

/// Asks for a word that no further answer follows, which only the answer itself can be.
const ASKS_FOR_FINAL: &str = "triton_enable_empty_final_response";

/// A request that can be answered.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    /// Echoed in the answer.
    pub(super) id: String,
    /// The input's shape, which outputs with one element a text have too.
    pub(super) shape: Vec<i64>,
    /// As many as the shape holds.
    pub(super) texts: Vec<Text>,
    /// What is to be answered.
    pub(super) wanted: Vec<Output>,
    /// Whether the texts came raw, and so the answer goes.
    pub(super) is_raw: bool,
    /// Whether the answer is to say that it is the last.
    pub(super) tells_final: bool,
}

/// Reads a request, with texts of at most so many characters.
pub(super) fn parse(request: ModelInferRequest, longest: usize) -> Result<Parsed, CallError> {
    let ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents, .. } = request;
    if id.chars().nth(LONGEST_ID).is_some() {
        return Err(CallError::invalid(format!("the id has more than {LONGEST_ID} characters")));
    }
    let tells_final = parameters
        .get(ASKS_FOR_FINAL)
        .is_some_and(|parameter| matches!(parameter.parameter_choice, Some(ParameterChoice::BoolParam(true))));
    let [input] = <[InferInputTensor; 1]>::try_from(inputs)
        .map_err(|inputs| CallError::invalid(format!("the model has one input, and {} came", inputs.len())))?;
    let InferInputTensor { datatype, shape, parameters, contents, .. } = input;
    if datatype != "BYTES" {
        return Err(CallError::invalid(format!("the input's datatype must be BYTES, not {}", quoted(&datatype))));
    }
    outputs::refuse_extensions(parameters.keys())?;
    let expected = elements(&shape)?;
    let wanted = outputs::wanted(outputs)?;
    let is_raw = !raw_input_contents.is_empty();
    let texts =
        if is_raw { of_raw(raw_input_contents, contents.as_ref(), expected) } else { of_contents(contents, expected) }?;
    let texts = texts.iter().enumerate().map(|(index, text)| read(index, text, longest)).collect::<Result<_, _>>()?;
    Ok(Parsed { id, shape, texts, wanted, is_raw, tells_final })
}

/// The number of texts that a shape holds.
fn elements(shape: &[i64]) -> Result<usize, CallError> {
    if !(1..=MOST_SIDES).contains(&shape.len()) {
        return Err(CallError::invalid(format!("the shape must have 1 to {MOST_SIDES} sides, not {}", shape.len())));
    }
    let product = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(usize::try_from(*side).ok()?));
    product
        .filter(|texts| (1..=MOST_TEXTS).contains(texts))
        .ok_or_else(|| CallError::invalid(format!("the shape {shape:?} must hold 1 to {MOST_TEXTS} texts")))
}

fn of_raw(
    mut raws: Vec<Bytes>,
    contents: Option<&InferTensorContents>,
    expected: usize,
) -> Result<Vec<Bytes>, CallError> {
    if contents.is_some_and(|contents| *contents != InferTensorContents::default()) {
        return Err(CallError::invalid("the texts must come either in contents or raw, not both"));
    }
    match (raws.pop(), raws.len()) {
        (Some(only), 0) => raw::read(only, expected),
        (_, others) => {
            Err(CallError::invalid(format!("there is one input, and {} raw ones came", others.saturating_add(1))))
        }
    }
}

fn of_contents(contents: Option<InferTensorContents>, expected: usize) -> Result<Vec<Bytes>, CallError> {
    let InferTensorContents { bytes_contents: texts, .. } = contents.unwrap_or_default();
    if texts.len() == expected {
        Ok(texts)
    } else {
        let found = texts.len();
        Err(CallError::invalid(format!("bytes_contents holds {found} texts, and the shape {expected}")))
    }
}

fn read(index: usize, text: &[u8], longest: usize) -> Result<Text, CallError> {
    let text =
        str::from_utf8(text).map_err(|error| CallError::invalid(format!("text {index}: it must be UTF-8: {error}")))?;
    Text::new(text, longest).map_err(|error| CallError::invalid(format!("text {index}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(shape: &[i64], texts: &[&[u8]]) -> ModelInferRequest {
        let bytes_contents = texts.iter().map(|text| Bytes::copy_from_slice(text)).collect();
        let input = InferInputTensor {
            name: "anything".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: shape.to_vec(),
            contents: Some(InferTensorContents { bytes_contents, ..InferTensorContents::default() }),
            ..InferInputTensor::default()
        };
        ModelInferRequest { id: "7".to_owned(), inputs: vec![input], ..ModelInferRequest::default() }
    }

    fn raw(request: ModelInferRequest) -> ModelInferRequest {
        let mut request = request;
        let contents = request.inputs[0].contents.take().unwrap_or_default();
        let texts = contents.bytes_contents.iter().map(|text| str::from_utf8(text).unwrap());
        request.raw_input_contents = vec![raw::write(texts)];
        request
    }

    fn refused(request: ModelInferRequest) -> String {
        parse(request, 9).unwrap_err().to_string()
    }

    #[test]
    fn texts_are_the_same_typed_and_raw() {
        let typed = parse(request(&[2, 1], &[b"good", b" bad "]), 9).unwrap();
        assert_eq!((typed.id.as_str(), typed.shape.as_slice(), typed.is_raw), ("7", &[2, 1][..], false));
        let texts: Vec<&str> = typed.texts.iter().map(|text| text.content.as_str()).collect();
        assert_eq!(texts, ["good", "bad"]);
        let raw = parse(raw(request(&[2, 1], &[b"good", b" bad "])), 9).unwrap();
        assert_eq!(raw, Parsed { is_raw: true, ..typed });
    }

    #[test]
    fn what_is_wrong_is_told_in_a_sentence() {
        let mut two = request(&[1], &[b"good"]);
        two.inputs.push(InferInputTensor::default());
        let mut numbers = request(&[1], &[b"good"]);
        numbers.inputs[0].datatype = "INT64".to_owned();
        let mut both = raw(request(&[1], &[b"good"]));
        both.inputs[0].contents = request(&[1], &[b"good"]).inputs.remove(0).contents;
        let mut several = raw(request(&[1], &[b"good"]));
        several.raw_input_contents.push(Bytes::new());
        let long_id = ModelInferRequest { id: "é".repeat(257), ..request(&[1], &[b"good"]) };
        for (request, sentence) in [
            (ModelInferRequest::default(), "the model has one input, and 0 came"),
            (two, "the model has one input, and 2 came"),
            (numbers, "the input's datatype must be BYTES, not \"INT64\""),
            (both, "the texts must come either in contents or raw, not both"),
            (several, "there is one input, and 2 raw ones came"),
            (long_id, "the id has more than 256 characters"),
            (request(&[], &[b"good"]), "the shape must have 1 to 16 sides, not 0"),
            (request(&[0], &[]), "the shape [0] must hold 1 to 1000 texts"),
            (request(&[-1], &[b"good"]), "the shape [-1] must hold 1 to 1000 texts"),
            (request(&[i64::MAX, 4], &[]), "the shape [9223372036854775807, 4] must hold 1 to 1000 texts"),
            (request(&[1001], &[]), "the shape [1001] must hold 1 to 1000 texts"),
            (request(&[2], &[b"good"]), "bytes_contents holds 1 texts, and the shape 2"),
            (request(&[2], &[b"good", b" \n"]), "text 1: the text is empty"),
            (request(&[1], &[b"\xff"]), "text 0: it must be UTF-8: invalid utf-8 sequence of 1 bytes from index 0"),
            (request(&[1], &[b"0123456789"]), "text 0: the text has 10 characters, and at most 9 are allowed"),
        ] {
            assert_eq!(refused(request), sentence);
        }
    }
}
