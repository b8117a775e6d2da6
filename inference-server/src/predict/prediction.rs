//! What is answered about a text.

use std::{borrow::Cow, sync::Arc, time::Duration};

use jiff::Timestamp;
use model::Verdict;
use uuid::Uuid;

use super::{ServedModel, Text};
use crate::{
    inference_log::{Record, Texts},
    protocol::Protocol,
};

/// A text's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// By which feedback names it.
    pub id: Uuid,
    /// The label with the highest score.
    pub verdict: Verdict,
    /// The model's raw outputs, all of them; its head knows which are answered, and makes scores of them.
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

impl Prediction {
    /// What the inference log has of it.
    pub(super) fn record(&self, model: &ServedModel, text: Option<&Text>, protocol: Protocol) -> Record {
        Record {
            prediction_id: self.id,
            correlation_id: None,
            time: Timestamp::now(),
            protocol: protocol.as_str(),
            model_name: Arc::clone(&model.name),
            model_digest: model.digest.get().cloned(),
            texts: text.map(|text| Texts { text: text.content.clone(), text_pair: text.pair.clone() }),
            text_length: self.characters,
            label: Arc::clone(&self.verdict.label),
            score: self.verdict.score,
            logits: match model.head.logits(&self.logits) {
                Some(Cow::Owned(answered)) => answered.into(),
                _ => Arc::clone(&self.logits),
            },
            truncated: self.truncated,
            cached: self.cached,
        }
    }
}
