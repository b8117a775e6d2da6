//! The health script for Argo CD, on the status that a real node has shown for each reason. The files in `argocd/` are
//! written by the tests on the node when `KUBESENTIMENT_RECORD_STATUSES` is set.

use std::fs;

use kubesentiment_e2e::argocd::{Health, expected, health, recorded};
use kubesentiment_operator::api::Reason;
use serde_json::{Value, json};

/// The recording for a reason, with its `Ready` condition.
fn recording(reason: Reason) -> (Value, Value) {
    let text = fs::read_to_string(recorded(reason)).unwrap_or_default();
    let object: Value = serde_json::from_str(&text).unwrap_or_default();
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
    assert_eq!(ready["reason"], reason.as_str(), "{} is no recording of {reason}", recorded(reason).display());
    (object, ready)
}

fn shown(object: &Value) -> Health {
    health(object).unwrap_or_else(|why| Health { status: "no health".to_owned(), message: why })
}

#[test]
fn each_reason_has_its_health_and_shows_its_message() {
    for reason in Reason::ALL {
        let (object, ready) = recording(reason);
        let Health { status, message } = shown(&object);
        assert_eq!(status, expected(reason), "{reason}");
        let own = ready["message"].as_str().unwrap_or_default();
        assert!(!own.is_empty() && message.contains(own), "{reason}: {message}");
    }
}

#[test]
fn an_object_that_the_operator_has_not_seen_is_progressing() {
    let new = json!({"metadata": {"name": "reviews", "generation": 1}, "spec": {}});
    assert_eq!(shown(&new).status, "Progressing");
}

#[test]
fn a_status_of_an_older_spec_counts_for_nothing() {
    for reason in Reason::ALL {
        let (mut object, _) = recording(reason);
        let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
        object["metadata"]["generation"] = json!(generation + 1);
        let Health { status, message } = shown(&object);
        assert_eq!(status, "Progressing", "{reason}");
        assert!(message.contains("current spec"), "{message}");
    }
}
