//! What a caller may want of an answer beside its label: scores of other labels, and the model's raw outputs.

use std::{borrow::Cow, sync::Arc};

use model::{Head, Problem, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::Fields;
use crate::predict::Prediction;

/// Labels that may be asked for at most; a model has fewer.
const MOST_LABELS: f64 = 10_000.0;

/// What is wanted beside the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Labels with the highest scores.
    labels: usize,
    logits: bool,
}

impl Wanted {
    /// The fields `top_k`, `all` and `logits` of a body.
    pub(super) fn read<const N: usize>(fields: &mut Fields<N>) -> Self {
        let top = match fields.number("top_k", &(1.0..=MOST_LABELS)) {
            Some(number) if number.fract() != 0.0 => {
                fields.problem("top_k", "Input should be a whole number", "int_type")
            }
            top => top,
        };
        let all = fields.boolean("all").unwrap_or_default();
        let labels = match top {
            _ if all => usize::MAX,
            // Whole, and within bounds.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10,000")]
            Some(top) => top as usize,
            None => 0,
        };
        Self { labels, logits: fields.boolean("logits").unwrap_or_default() }
    }
}

/// A label and its score.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct LabelScore {
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    /// Its probability; of a regression the number itself.
    #[schema(example = 0.96)]
    score: f32,
}

impl From<Verdict> for LabelScore {
    fn from(Verdict { label, score }: Verdict) -> Self {
        Self { label, score }
    }
}

/// The details of one answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Details<'a> {
    /// Every label that holds, highest score first; only of a model whose texts may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    labels: Option<Vec<LabelScore>>,
    /// As many labels as `top_k` or `all` asked for, highest score first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scores: Option<Vec<LabelScore>>,
    /// The model's raw outputs in the order of its labels, where `logits` asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f32>>, nullable = false)]
    logits: Option<Cow<'a, [f32]>>,
}

impl<'a> Details<'a> {
    /// Those that are wanted, and the labels that hold where there may be several.
    pub(super) fn of(head: &Head, answer: &'a Prediction, wanted: Wanted) -> Self {
        let list = |verdicts: Vec<Verdict>| verdicts.into_iter().map(LabelScore::from).collect();
        let several = head.problem() == Problem::MultiLabel;
        let labels = several.then(|| head.holding(&answer.logits)).flatten().map(list);
        let scores = (wanted.labels > 0).then(|| head.ranked(&answer.logits, wanted.labels)).flatten().map(list);
        let logits = wanted.logits.then(|| head.logits(&answer.logits)).flatten();
        Self { labels, scores, logits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ApiError;

    fn wanted(json: &str) -> Result<Wanted, ApiError> {
        let mut fields = Fields::read(json, ["top_k", "all", "logits"])?;
        let wanted = Wanted::read(&mut fields);
        fields.finish().map(|()| wanted)
    }

    #[test]
    fn nothing_is_answered_that_is_not_wanted() {
        assert_eq!(wanted("{}").unwrap(), Wanted::default());
        assert_eq!(wanted(r#"{"top_k":null,"all":false,"logits":false}"#).unwrap(), Wanted::default());
        assert_eq!(wanted(r#"{"top_k":3}"#).unwrap(), Wanted { labels: 3, logits: false });
        assert_eq!(
            wanted(r#"{"top_k":3,"all":true,"logits":true}"#).unwrap(),
            Wanted { labels: usize::MAX, logits: true }
        );
        for body in [r#"{"top_k":0}"#, r#"{"top_k":1.5}"#, r#"{"top_k":"1"}"#, r#"{"all":1}"#, r#"{"logits":"yes"}"#] {
            assert!(wanted(body).is_err(), "{body}");
        }
    }
}
