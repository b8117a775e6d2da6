//! What is answered about a text.

use std::{sync::Arc, time::Duration};

use model::Verdict;
use uuid::Uuid;

/// A text's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// By which feedback names it.
    pub id: Uuid,
    /// The label with the highest score.
    pub verdict: Verdict,
    /// The model's raw outputs; its head makes scores of them.
    pub logits: Arc<[f32]>,
    /// Length of the text, without white space around it.
    pub characters: usize,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// How long the model ran for it; zero when the answer was kept from before.
    pub inference: Duration,
    /// Whether the answer was kept from an equal text before.
    pub cached: bool,
}
