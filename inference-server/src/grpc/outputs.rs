//! What can be answered about each text.

use super::{
    error::CallError,
    proto::{DataType, model_infer_request::InferRequestedOutputTensor},
};
use crate::http::error::quoted;

/// An output of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The winning label.
    Label,
    /// Its score.
    Score,
    /// Whether the model has read only the start of the text.
    Truncated,
    /// The score of every label.
    Probabilities,
    /// What the model puts out.
    Logits,
}

impl Output {
    pub(super) const ALL: [Self; 5] = [Self::Label, Self::Score, Self::Truncated, Self::Probabilities, Self::Logits];

    /// Those that are answered where none is asked for: REST's.
    const USUAL: [Self; 3] = [Self::Label, Self::Score, Self::Truncated];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Score => "score",
            Self::Truncated => "truncated",
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
        }
    }

    pub(super) fn datatype(self) -> &'static str {
        match self {
            Self::Label => "BYTES",
            Self::Score | Self::Probabilities | Self::Logits => "FP32",
            Self::Truncated => "BOOL",
        }
    }

    /// The datatype as a model's configuration has it.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Label => DataType::TypeString,
            Self::Score | Self::Probabilities | Self::Logits => DataType::TypeFp32,
            Self::Truncated => DataType::TypeBool,
        }
    }
}

/// The outputs that are asked for.
pub(super) fn wanted(requested: Vec<InferRequestedOutputTensor>) -> Result<Vec<Output>, CallError> {
    if requested.is_empty() {
        return Ok(Output::USUAL.to_vec());
    }
    let mut wanted = Vec::new();
    for InferRequestedOutputTensor { name, parameters } in requested {
        let Some(output) = Output::ALL.into_iter().find(|output| output.name() == name) else {
            let names = Output::ALL.map(Output::name).join(", ");
            return Err(CallError::invalid(format!("the model has the outputs {names}, but no {}", quoted(&name))));
        };
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
