//! The answer to a request for an inference.

use model::Head;
use prost::bytes::{BufMut, Bytes, BytesMut};

use super::{
    error::CallError,
    proto::{
        InferParameter, InferTensorContents, ModelInferResponse, infer_parameter::ParameterChoice,
        model_infer_response::InferOutputTensor,
    },
    raw,
    request::Parsed,
};
use crate::{
    open_inference::{Output, VERSION},
    predict::{PredictError, Prediction},
};

/// What an answer is given for; its texts are gone by then.
pub(super) struct Asked {
    id: String,
    shape: Vec<i64>,
    wanted: Vec<Output>,
    is_raw: bool,
    tells_final: bool,
}

impl From<Parsed> for Asked {
    fn from(parsed: Parsed) -> Self {
        let Parsed { id, shape, wanted, is_raw, tells_final, .. } = parsed;
        Self { id, shape, wanted, is_raw, tells_final }
    }
}

/// One output's elements.
enum Elements {
    Texts(Vec<Bytes>),
    Numbers(Vec<f32>),
    Truths(Vec<bool>),
}

/// The answer for the predictions of all texts, which the head has read.
pub(super) fn of(
    name: &str,
    asked: Asked,
    head: &Head,
    predictions: &[Prediction],
) -> Result<ModelInferResponse, CallError> {
    let mut response = ModelInferResponse {
        model_name: name.to_owned(),
        model_version: VERSION.to_owned(),
        id: asked.id,
        ..Default::default()
    };
    if asked.tells_final {
        let yes = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
        response.parameters.insert("triton_final_response".to_owned(), yes);
    }
    for output in asked.wanted {
        let elements = elements(output, head, predictions)?;
        let columns = output.columns(head).map(|columns| i64::try_from(columns).unwrap_or(i64::MAX));
        let rows = i64::try_from(predictions.len()).unwrap_or(i64::MAX);
        let shape = columns.map_or_else(|| asked.shape.clone(), |columns| vec![rows, columns]);
        let mut tensor = InferOutputTensor {
            name: output.name().to_owned(),
            datatype: output.datatype().to_owned(),
            shape,
            ..InferOutputTensor::default()
        };
        if asked.is_raw {
            response.raw_output_contents.push(elements.into_raw());
        } else {
            tensor.contents = Some(elements.into_contents());
        }
        response.outputs.push(tensor);
    }
    Ok(response)
}

/// An output's elements.
fn elements(output: Output, head: &Head, predictions: &[Prediction]) -> Result<Elements, CallError> {
    Ok(match output {
        Output::Label => {
            let label = |answer: &Prediction| Bytes::copy_from_slice(answer.verdict.label.as_bytes());
            Elements::Texts(predictions.iter().map(label).collect())
        }
        Output::Score => Elements::Numbers(predictions.iter().map(|answer| answer.verdict.score).collect()),
        Output::Truncated => Elements::Truths(predictions.iter().map(|answer| answer.truncated).collect()),
        Output::Probabilities => {
            let scores = predictions.iter().map(|answer| head.scores(&answer.logits));
            let scores: Option<Vec<Vec<f32>>> = scores.collect();
            let scores = scores.ok_or_else(PredictError::broken_output)?;
            Elements::Numbers(scores.concat())
        }
        Output::Logits => {
            let logits = predictions.iter().map(|answer| head.logits(&answer.logits));
            let logits = logits.collect::<Option<Vec<_>>>().ok_or_else(PredictError::broken_output)?;
            Elements::Numbers(logits.concat())
        }
    })
}

impl Elements {
    fn into_contents(self) -> InferTensorContents {
        let none = InferTensorContents::default();
        match self {
            Self::Texts(bytes_contents) => InferTensorContents { bytes_contents, ..none },
            Self::Numbers(fp32_contents) => InferTensorContents { fp32_contents, ..none },
            Self::Truths(bool_contents) => InferTensorContents { bool_contents, ..none },
        }
    }

    fn into_raw(self) -> Bytes {
        match self {
            Self::Texts(texts) => raw::write(texts.iter().filter_map(|text| std::str::from_utf8(text).ok())),
            Self::Numbers(numbers) => {
                let mut raw = BytesMut::with_capacity(numbers.len() * size_of::<f32>());
                for number in numbers {
                    raw.put_f32_le(number);
                }
                raw.freeze()
            }
            Self::Truths(truths) => truths.into_iter().map(u8::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn answer(is_raw: bool) -> ModelInferResponse {
        let head = Head::single_label(&["NEGATIVE", "POSITIVE"]);
        let predictions = [[0.0, 1.0], [2.0, 0.0]].map(|logits: [f32; 2]| Prediction {
            id: Uuid::nil(),
            verdict: head.judge(&logits).unwrap(),
            logits: logits.into(),
            characters: 4,
            truncated: logits[0] > 0.0,
            inference: Duration::ZERO,
            cached: false,
        });
        let wanted = Output::ALL.to_vec();
        let asked = Asked { id: "7".to_owned(), shape: vec![2, 1], wanted, is_raw, tells_final: true };
        of("reviews", asked, &head, &predictions).unwrap()
    }

    #[test]
    fn typed() {
        let answer = answer(false);
        assert_eq!(
            (answer.model_name.as_str(), answer.model_version.as_str(), answer.id.as_str()),
            ("reviews", "1", "7")
        );
        let tensors: Vec<_> =
            answer.outputs.iter().map(|o| (o.name.as_str(), o.datatype.as_str(), o.shape.clone())).collect();
        let expected = [
            ("label", "BYTES", vec![2, 1]),
            ("score", "FP32", vec![2, 1]),
            ("truncated", "BOOL", vec![2, 1]),
            ("probabilities", "FP32", vec![2, 2]),
            ("logits", "FP32", vec![2, 2]),
        ];
        assert_eq!(tensors, expected);
        let contents: Vec<_> = answer.outputs.iter().map(|output| output.contents.clone().unwrap()).collect();
        assert_eq!(contents[0].bytes_contents, ["POSITIVE", "NEGATIVE"]);
        assert_eq!(contents[1].fp32_contents, [contents[3].fp32_contents[1], contents[3].fp32_contents[2]]);
        assert_eq!(contents[2].bool_contents, [false, true]);
        assert_eq!(contents[4].fp32_contents, [0.0, 1.0, 2.0, 0.0]);
        assert!(answer.raw_output_contents.is_empty() && answer.parameters.contains_key("triton_final_response"));
    }

    #[test]
    fn raw_as_it_came() {
        let answer = answer(true);
        assert!(answer.outputs.iter().all(|output| output.contents.is_none()));
        let raw = answer.raw_output_contents;
        assert_eq!(raw[0], b"\x08\0\0\0POSITIVE\x08\0\0\0NEGATIVE".as_slice());
        assert_eq!(raw[2], [0_u8, 1].as_slice());
        assert_eq!(raw[4], b"\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\0\0".as_slice());
    }
}
