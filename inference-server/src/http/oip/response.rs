//! The answer: outputs in JSON, and those that are wanted so as bytes behind it.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use model::Head;
use serde::Serialize;
use utoipa::ToSchema;

use super::{binary, outputs::Wanted};
use crate::{
    http::ApiError,
    open_inference::{Output, VERSION},
    predict::{PredictError, Prediction},
};

#[derive(Serialize, ToSchema)]
#[schema(as = InferResponse)]
pub(super) struct Inferred<'a> {
    model_name: &'a str,
    #[schema(example = "1")]
    model_version: &'static str,
    /// The request's, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferOutput)]
struct Tensor<'a> {
    #[schema(example = "label")]
    name: &'static str,
    /// As the input's; of probabilities, logits and classes with their number at the end.
    shape: Vec<usize>,
    #[schema(example = "BYTES")]
    datatype: &'static str,
    /// Only of an output that follows the JSON as bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameters: Option<TensorParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<Data<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferOutputParameters)]
struct TensorParameters {
    /// Bytes that follow the JSON in place of `data`, those of each output after the other.
    binary_data_size: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InferData)]
#[serde(untagged)]
enum Data<'a> {
    Strings(Vec<Cow<'a, str>>),
    Numbers(Vec<f32>),
    Truncated(Vec<bool>),
}

impl Data<'_> {
    fn datatype(&self) -> &'static str {
        match self {
            Self::Strings(_) => "BYTES",
            Self::Numbers(_) => "FP32",
            Self::Truncated(_) => "BOOL",
        }
    }

    /// Adds the elements as bytes.
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Strings(strings) => strings.iter().for_each(|string| binary::push(string.as_bytes(), bytes)),
            Self::Numbers(numbers) => numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes())),
            Self::Truncated(all) => bytes.extend(all.iter().map(|truncated| u8::from(*truncated))),
        }
    }
}

/// The answer to texts of a shape.
pub(super) fn of(
    model_name: &str,
    id: Option<String>,
    head: &Head,
    shape: &[usize],
    wanted: &[Wanted],
    answers: &[Prediction],
) -> Result<Response, ApiError> {
    let mut tensors = Vec::new();
    let output = |wanted| output(head, shape, wanted, answers, &mut tensors);
    let outputs = wanted.iter().map(output).collect::<Option<_>>().ok_or_else(PredictError::broken_output)?;
    let inferred = Inferred { model_name, model_version: VERSION, id, outputs };
    if wanted.iter().all(|wanted| !wanted.in_binary) {
        return Ok(Json(inferred).into_response());
    }
    let mut body = serde_json::to_vec(&inferred).map_err(|_| ApiError::Internal("the answer can't be written"))?;
    let length = HeaderValue::from(body.len());
    body.append(&mut tensors);
    let octets = HeaderValue::from_static("application/octet-stream");
    let headers = [(header::CONTENT_TYPE, octets), (binary::HEADER, length)];
    Ok((headers, body).into_response())
}

/// One output. `None` when the model's outputs can't be read.
fn output<'a>(
    head: &Head,
    shape: &[usize],
    wanted: &Wanted,
    answers: &'a [Prediction],
    tensors: &mut Vec<u8>,
) -> Option<Tensor<'a>> {
    let (data, width) = match wanted.output {
        Output::Label => (Data::Strings(answers.iter().map(|answer| (&*answer.verdict.label).into()).collect()), None),
        Output::Score => (Data::Numbers(answers.iter().map(|answer| answer.verdict.score).collect()), None),
        Output::Truncated => (Data::Truncated(answers.iter().map(|answer| answer.truncated).collect()), None),
        Output::Probabilities => {
            let rows = answers.iter().map(|answer| head.scores(&answer.logits)).collect::<Option<Vec<_>>>()?;
            classes(head, &rows, wanted.classes, head.names().len())
        }
        Output::Logits => {
            let rows = answers.iter().map(|answer| head.logits(&answer.logits).map(Cow::into_owned));
            let rows = rows.collect::<Option<Vec<_>>>()?;
            classes(head, &rows, wanted.classes, head.outputs())
        }
    };
    let datatype = data.datatype();
    let mut shape = shape.to_vec();
    shape.extend(width);
    let (parameters, data) = if wanted.in_binary {
        let before = tensors.len();
        data.write(tensors);
        (Some(TensorParameters { binary_data_size: tensors.len() - before }), None)
    } else {
        (None, Some(data))
    };
    Some(Tensor { name: wanted.output.name(), shape, datatype, parameters, data })
}

/// The numbers of each text, or the highest of them as strings; and how many of each text.
fn classes<'a>(head: &Head, rows: &[Vec<f32>], most: Option<usize>, width: usize) -> (Data<'a>, Option<usize>) {
    let Some(most) = most else { return (Data::Numbers(rows.concat()), Some(width)) };
    let most = most.min(width);
    // One output of two classes has no name of its own.
    let names: Vec<&str> = if head.names().len() == width { head.names().collect() } else { Vec::new() };
    let strings = rows.iter().flat_map(|row| {
        let mut ranked: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(most);
        ranked.into_iter().map(|(index, number)| match names.get(index) {
            Some(name) => Cow::from(format!("{number:.6}:{index}:{name}")),
            None => format!("{number:.6}:{index}").into(),
        })
    });
    (Data::Strings(strings.collect()), Some(most))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Activation, Verdict};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn answer(label: &str, score: f32, logits: &[f32]) -> Prediction {
        Prediction {
            id: Uuid::nil(),
            verdict: Verdict { label: label.into(), score },
            logits: logits.into(),
            characters: 1,
            truncated: score < 0.7,
            inference: Duration::ZERO,
            cached: false,
        }
    }

    fn tensor(head: &Head, output_: Output, in_binary: bool, classes: Option<usize>) -> (Value, Vec<u8>) {
        let third = 3.0_f32.ln();
        let answers =
            [answer("b", 0.75, &[0.0, third][..head.outputs()]), answer("a", 0.5, &[0.0, 0.0][..head.outputs()])];
        let mut tensors = Vec::new();
        let wanted = Wanted { output: output_, in_binary, classes };
        let tensor = output(head, &[2, 1], &wanted, &answers, &mut tensors).unwrap();
        (json!(tensor), tensors)
    }

    #[test]
    fn outputs_are_json_or_bytes() {
        let head = Head::single_label(&["a", "b"]);
        let (label, bytes) = tensor(&head, Output::Label, false, None);
        assert_eq!(label, json!({ "name": "label", "shape": [2, 1], "datatype": "BYTES", "data": ["b", "a"] }));
        assert!(bytes.is_empty());
        for (output, datatype, expected) in [
            (Output::Label, "BYTES", [1, 0, 0, 0, b'b', 1, 0, 0, 0, b'a'].to_vec()),
            (Output::Score, "FP32", [0.75_f32.to_le_bytes(), 0.5_f32.to_le_bytes()].concat()),
            (Output::Truncated, "BOOL", vec![0, 1]),
        ] {
            let (found, bytes) = tensor(&head, output, true, None);
            let parameters = json!({ "binary_data_size": expected.len() });
            let name = output.name();
            let tensor = json!({ "name": name, "shape": [2, 1], "datatype": datatype, "parameters": parameters });
            assert_eq!((found, bytes), (tensor, expected));
        }
    }

    #[test]
    fn numbers_of_classes_have_a_side_of_their_own() {
        let head = Head::single_label(&["a", "b"]);
        let (found, _) = tensor(&head, Output::Probabilities, false, None);
        assert_eq!(found["shape"], json!([2, 1, 2]));
        assert_eq!(found["data"].as_array().unwrap().len(), 4);
        assert_eq!(tensor(&head, Output::Logits, true, None).1.len(), 16);
        let (found, _) = tensor(&head, Output::Probabilities, false, Some(9));
        assert_eq!((&found["shape"], &found["datatype"]), (&json!([2, 1, 2]), &json!("BYTES")));
        assert_eq!(found["data"], json!(["0.750000:1:b", "0.250000:0:a", "0.500000:0:a", "0.500000:1:b"]));
        let one = Head::binary(["a".to_owned(), "b".to_owned()], Activation::Sigmoid);
        let (found, _) = tensor(&one, Output::Logits, false, Some(1));
        assert_eq!((&found["shape"], &found["data"]), (&json!([2, 1, 1]), &json!(["0.000000:0", "0.000000:0"])));
    }

    #[test]
    fn classes_that_are_left_out_have_no_number_and_the_others_are_counted_anew() {
        let head = Head::single_label(&["a", "b", "c"]).without(&["b".to_owned()]).unwrap();
        let answers = [answer("c", 0.75, &[0.0, 9.0, 1.5])];
        let found = |output_, classes| {
            let wanted = Wanted { output: output_, in_binary: false, classes };
            json!(output(&head, &[1], &wanted, &answers, &mut Vec::new()).unwrap())
        };
        let logits = found(Output::Logits, None);
        assert_eq!((&logits["shape"], &logits["data"]), (&json!([1, 2]), &json!([0.0, 1.5])));
        assert_eq!(found(Output::Probabilities, None)["shape"], json!([1, 2]));
        let logits = found(Output::Logits, Some(3));
        assert_eq!((&logits["shape"], &logits["data"]), (&json!([1, 2]), &json!(["1.500000:1:c", "0.000000:0:a"])));
    }
}
