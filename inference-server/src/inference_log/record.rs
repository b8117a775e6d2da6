//! One answer, as the log has it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// The texts of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Texts {
    /// The text.
    pub text: String,
    /// The one that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_pair: Option<String>,
}

/// An answer and what it was an answer to.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The prediction's id, by which feedback names it too.
    pub prediction_id: Uuid,
    /// The request's id; of a batch all answers have the same.
    pub correlation_id: Option<Arc<str>>,
    /// When it was answered.
    pub time: Timestamp,
    /// What it came by.
    pub protocol: &'static str,
    /// The model's name.
    pub model_name: Arc<str>,
    /// The digest of its files, once that is known.
    pub model_digest: Option<String>,
    /// What was asked, where that is wanted.
    #[serde(flatten)]
    pub texts: Option<Texts>,
    /// Characters of the texts.
    pub text_length: usize,
    /// The label with the highest score.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
    /// The model's raw outputs that are answered; none of candidate labels.
    pub logits: Arc<[f32]>,
    /// Whether the model has read only the start of the text.
    pub truncated: bool,
    /// Whether the answer was kept from before.
    pub cached: bool,
}

impl Record {
    /// Memory that it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.texts.as_ref();
        let texts = texts.map_or(0, |texts| texts.text.len() + texts.text_pair.as_ref().map_or(0, String::len));
        size_of::<Self>() + texts + size_of_val(&*self.logits)
    }
}

#[cfg(test)]
impl Record {
    pub(super) fn of_test(text: &str) -> Self {
        Self {
            prediction_id: Uuid::from_u128(7),
            correlation_id: Some("a-request".into()),
            time: Timestamp::UNIX_EPOCH,
            protocol: "native",
            model_name: "reviews".into(),
            model_digest: Some("sha256:00".to_owned()),
            texts: Some(Texts { text: text.to_owned(), text_pair: None }),
            text_length: text.len(),
            label: "POSITIVE".into(),
            score: 0.75,
            logits: [0.0, 1.5].into(),
            truncated: false,
            cached: false,
        }
    }
}
