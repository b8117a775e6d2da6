//! What was reported of a service before.

use serde_json::{Map, Value, json};

use crate::api::SentimentServiceStatus;

/// The status that an object has. An object that nobody has reported of yet has a default of the
/// CustomResourceDefinition, by its generation of -1: that is as good as none.
#[must_use]
pub fn previous(stored: Option<&SentimentServiceStatus>) -> SentimentServiceStatus {
    let is_reported = |status: &&SentimentServiceStatus| status.observed_generation.is_none_or(|seen| seen >= 0);
    stored.filter(is_reported).cloned().unwrap_or_default()
}

/// The status of an object that can't be read as a whole, from its JSON: every field and every condition that can.
#[must_use]
pub fn of_unreadable(object: &Value) -> SentimentServiceStatus {
    let Some(stored) = object.get("status").and_then(Value::as_object) else {
        return SentimentServiceStatus::default();
    };
    let reads =
        |key: &str, value: &Value| serde_json::from_value::<SentimentServiceStatus>(json!({ key: value })).is_ok();
    let mut readable = Map::new();
    for (key, value) in stored {
        let value = match value {
            Value::Array(items) => {
                Value::Array(items.iter().filter(|item| reads(key, &json!([item]))).cloned().collect())
            }
            other => other.clone(),
        };
        if reads(key, &value) {
            readable.insert(key.clone(), value);
        }
    }
    let status = serde_json::from_value(Value::Object(readable)).unwrap_or_default();
    previous(Some(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_the_schema_is_no_status() {
        let unreported = SentimentServiceStatus { observed_generation: Some(-1), ..SentimentServiceStatus::default() };
        assert_eq!(previous(Some(&unreported)), SentimentServiceStatus::default());
        assert_eq!(previous(None), SentimentServiceStatus::default());
        let reported = SentimentServiceStatus { observed_generation: Some(1), replicas: 2, ..unreported };
        assert_eq!(previous(Some(&reported)), reported);
    }

    #[test]
    fn of_an_unreadable_object_all_is_kept_that_can_be_read() {
        let condition = json!({
            "type": "Ready", "status": "False", "reason": "InvalidSpec", "message": "it breaks the schema",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let object = json!({
            "metadata": {"name": "reviews"},
            "spec": {"replicas": "many"},
            "status": {
                "observedGeneration": 4, "replicas": 2, "readyReplicas": "two", "url": "http://reviews.demo.svc:8000",
                "selector": "a=b", "conditions": [{"type": 7}, condition], "model": 1, "ofAnotherRelease": true,
            },
        });
        let status = of_unreadable(&object);
        assert_eq!((status.observed_generation, status.replicas, status.ready_replicas), (Some(4), 2, 0));
        assert_eq!(
            (status.url.as_deref(), status.selector.as_deref()),
            (Some("http://reviews.demo.svc:8000"), Some("a=b"))
        );
        assert_eq!(status.conditions.len(), 1);
        assert_eq!(status.model, None);
        for object in [json!({}), json!({"status": null}), json!({"status": {"observedGeneration": -1}})] {
            assert_eq!(of_unreadable(&object), SentimentServiceStatus::default());
        }
    }
}
