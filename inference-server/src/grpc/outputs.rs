//! The outputs that a request asks for.

use super::{
    error::CallError,
    proto::{DataType, model_infer_request::InferRequestedOutputTensor},
};
use crate::{http::error::quoted, open_inference::Output};

/// An output's datatype as a model's configuration has it.
pub(super) fn data_type(output: Output) -> DataType {
    match output {
        Output::Label => DataType::TypeString,
        Output::Score | Output::Probabilities | Output::Logits => DataType::TypeFp32,
        Output::Truncated => DataType::TypeBool,
    }
}

/// The outputs that are asked for.
pub(super) fn wanted(requested: Vec<InferRequestedOutputTensor>) -> Result<Vec<Output>, CallError> {
    if requested.is_empty() {
        return Ok(Output::USUAL.to_vec());
    }
    let mut wanted = Vec::new();
    for InferRequestedOutputTensor { name, parameters } in requested {
        let output = Output::find(&name).map_err(|known| {
            CallError::invalid(format!("the model has the outputs {known}, but no {}", quoted(&name)))
        })?;
        if wanted.contains(&output) {
            return Err(CallError::invalid(format!("the output {name} is asked for twice")));
        }
        refuse_extensions(parameters.keys())?;
        wanted.push(output);
    }
    Ok(wanted)
}

/// Refuses parameters by which Triton would answer or read something else. Others have no effect, as there.
pub(super) fn refuse_extensions<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), CallError> {
    match names.find(|name| *name == "classification" || name.starts_with("shared_memory_")) {
        Some(name) => Err(CallError::invalid(format!("the extension of the parameter {name} isn't there"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Vec<Output>, String> {
        let requested = names.iter().map(|name| InferRequestedOutputTensor {
            name: (*name).to_owned(),
            ..InferRequestedOutputTensor::default()
        });
        wanted(requested.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_answered_as_they_are_asked_for() {
        assert_eq!(of(&[]), Ok(vec![Output::Label, Output::Score, Output::Truncated]));
        assert_eq!(of(&["logits", "label"]), Ok(vec![Output::Logits, Output::Label]));
        assert_eq!(of(&["label", "label"]), Err("the output label is asked for twice".to_owned()));
        assert!(of(&["tokens"]).unwrap_err().ends_with("but no \"tokens\""));
    }

    #[test]
    fn what_would_change_the_answer_is_refused() {
        let requested = InferRequestedOutputTensor {
            name: "label".to_owned(),
            parameters: [("classification".to_owned(), super::super::proto::InferParameter::default())].into(),
        };
        assert!(wanted(vec![requested]).is_err());
        assert_eq!(refuse_extensions(["priority".to_owned()].iter()), Ok(()));
    }
}
