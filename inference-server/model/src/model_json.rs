//! What `config.json` says of a model. Only what is asked for can be wrong with it.

use serde_json::{Map, Value};

use crate::lenient;

/// Architectures whose positions begin behind the padding token's id, as transformers counts them.
const COUNTED_FROM_PADDING: [&str; 12] = [
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-flash",
    "xlm-roberta-xl",
    "xmod",
];

/// A `config.json`.
#[derive(Debug)]
pub(super) struct ModelJson(Map<String, Value>);

impl ModelJson {
    /// Reads its text, as transformers or an editor wrote it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match serde_json::from_str(&lenient::json_of_python(text)) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err("it is JSON, but no object".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn count(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
    }

    /// Rows of its table of positions.
    pub(super) fn positions(&self) -> Option<usize> {
        self.count("max_position_embeddings").filter(|positions| *positions > 0)
    }

    /// The padding token's id. Models that have none write -1.
    pub(super) fn padding(&self) -> Option<usize> {
        self.count("pad_token_id")
    }

    /// Whether its positions begin behind the padding token's id.
    pub(super) fn counts_from_padding(&self) -> bool {
        self.text("model_type").is_some_and(|kind| COUNTED_FROM_PADDING.contains(&kind))
    }

    /// The architecture, as transformers calls it.
    pub(super) fn family(&self) -> Option<&str> {
        self.text("model_type")
    }

    /// What it says that the model tells.
    pub(super) fn problem(&self) -> Option<&str> {
        self.text("problem_type")
    }

    /// The names of its labels by index; none where it names none.
    pub(super) fn labels(&self) -> Result<Vec<String>, String> {
        match self.0.get("id2label") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(names)) => names.iter().map(name).collect(),
            Some(Value::Object(by_index)) => in_order(by_index),
            Some(other) => Err(format!("its id2label is {other}, not an object from numbers to names")),
        }
    }
}

fn in_order(by_index: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut names = vec![None; by_index.len()];
    for (index, value) in by_index {
        let position: usize = index.trim().parse().map_err(|_| {
            format!("its id2label has {index:?} where a number should be: it has to lead from numbers to names, as label2id doesn't")
        })?;
        let Some(place) = names.get_mut(position) else {
            return Err(format!(
                "its id2label has {} names, and {index} is none of their numbers from 0 on",
                by_index.len()
            ));
        };
        *place = Some(name(value)?);
    }
    let missing = || "its id2label has a number twice".to_owned();
    names.into_iter().collect::<Option<_>>().ok_or_else(missing)
}

/// The name of a label, which may be a number.
fn name(value: &Value) -> Result<String, String> {
    match value {
        Value::String(name) => Ok(name.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(format!("its id2label has {value} where a name should be")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<Vec<String>, String> {
        ModelJson::read(text).unwrap().labels()
    }

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        assert_eq!(labels(r#"{"id2label": {"1": "good", "0": "bad"}}"#).unwrap(), ["bad", "good"]);
        assert_eq!(labels(r#"{"id2label": {"0": 1, "1": 2.5}}"#).unwrap(), ["1", "2.5"]);
        assert_eq!(labels(r#"{"id2label": ["bad", "good"]}"#).unwrap(), ["bad", "good"]);
        for none in ["{}", r#"{"id2label": null}"#, r#"{"id2label": {}}"#] {
            assert!(labels(none).unwrap().is_empty(), "{none}");
        }
        for (wrong, word) in [
            (r#"{"id2label": {"bad": 0, "good": 1}}"#, "label2id"),
            (r#"{"id2label": {"0": "bad", "2": "good"}}"#, "2 is none"),
            (r#"{"id2label": {"0": "bad", "00": "good"}}"#, "twice"),
            (r#"{"id2label": {"0": []}}"#, "[]"),
            (r#"{"id2label": 3}"#, "not an object"),
        ] {
            let error = labels(wrong).unwrap_err();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_no_number_of_tokens_is_none() {
        let of = |text: &str| {
            let json = ModelJson::read(text).unwrap();
            (json.positions(), json.padding())
        };
        assert_eq!(of(r#"{"max_position_embeddings": 514, "pad_token_id": 1}"#), (Some(514), Some(1)));
        assert_eq!(of(r#"{"max_position_embeddings": -1, "pad_token_id": -1}"#), (None, None));
        assert_eq!(of(r#"{"max_position_embeddings": null, "pad_token_id": [1], "eps": NaN}"#), (None, None));
        assert!(ModelJson::read("[]").is_err());
    }
}
