//! The Open Inference Protocol's words for the model, which it has over REST and over gRPC alike.

use model::Head;

/// The one version of the model.
pub const VERSION: &str = "1";

/// Name of the one input. Any other is taken too.
pub const TEXT: &str = "text";

/// What runs the model, in Triton's words.
pub const PLATFORM: &str = "onnxruntime_onnx";

/// What can be answered about each text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The label with the highest score.
    Label,
    /// Its score.
    Score,
    /// Whether the model has read only the start of the text.
    Truncated,
    /// The score of every label, in class order.
    Probabilities,
    /// The model's raw outputs, but for those of labels that are left out.
    Logits,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Label, Self::Score, Self::Truncated, Self::Probabilities, Self::Logits];

    /// Those that are answered where none is asked for.
    pub const USUAL: [Self; 3] = [Self::Label, Self::Score, Self::Truncated];

    /// By its name; the error names all that there are.
    pub fn find(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|output| output.name() == name);
        found.ok_or_else(|| Self::ALL.map(Self::name).join(", "))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Score => "score",
            Self::Truncated => "truncated",
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
        }
    }

    /// What its elements are.
    #[must_use]
    pub fn datatype(self) -> &'static str {
        match self {
            Self::Label => "BYTES",
            Self::Truncated => "BOOL",
            Self::Score | Self::Probabilities | Self::Logits => "FP32",
        }
    }

    /// Whether it has several numbers for each text.
    #[must_use]
    pub fn is_of_classes(self) -> bool {
        matches!(self, Self::Probabilities | Self::Logits)
    }

    /// How many numbers it has for each text, where that may be more than one.
    #[must_use]
    pub fn columns(self, head: &Head) -> Option<usize> {
        match self {
            Self::Label | Self::Score | Self::Truncated => None,
            Self::Probabilities => Some(head.names().len()),
            Self::Logits => Some(head.outputs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_found_by_their_names() {
        for output in Output::ALL {
            assert_eq!(Output::find(output.name()), Ok(output));
        }
        let known = "label, score, truncated, probabilities, logits";
        assert_eq!(Output::find("tokens"), Err(known.to_owned()));
    }

    #[test]
    fn columns_are_those_that_are_answered() {
        let head = Head::binary(["no".to_owned(), "yes".to_owned()], model::Activation::Sigmoid);
        assert_eq!(Output::ALL.map(|output| output.columns(&head)), [None, None, None, Some(2), Some(1)]);
        let head = Head::single_label(&["a", "b", "c"]).without(&["B".to_owned()]).unwrap();
        assert_eq!(Output::ALL.map(|output| output.columns(&head)), [None, None, None, Some(2), Some(2)]);
        assert!(Output::ALL.into_iter().all(|output| output.is_of_classes() == output.columns(&head).is_some()));
    }
}
