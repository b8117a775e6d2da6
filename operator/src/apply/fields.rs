//! Whether an object still holds what we applied: by the fields that the API server says are ours.
//!
//! Who changes or removes a field takes it from its owner's list. So a live object needn't be compared with what was
//! sent (the API server fills in defaults, rewrites quantities, and keeps the fields of others): if our list covers all
//! that we sent, all of it is still there. The format is `FieldsV1` of `sigs.k8s.io/structured-merge-diff/v6/fieldpath`.

use serde_json::{Map, Value};

/// Fields that no entry lists, since the API server keeps them itself.
const IDENTITY: [&str; 4] = ["name", "namespace", "uid", "resourceVersion"];

/// Whether our fields, as JSON text, cover all that `sent` sets.
pub(super) fn cover(fields: &str, sent: &Value) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(fields) else { return false };
    let Value::Object(sent) = sent else { return false };
    sent.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "status")).all(|(key, value)| {
        if key == "metadata" {
            let ours = value.as_object().into_iter().flatten().filter(|(key, _)| !IDENTITY.contains(&key.as_str()));
            let listed = fields.get("f:metadata").and_then(Value::as_object);
            ours.into_iter().all(|(key, value)| listed.is_some_and(|listed| covers_field(listed, key, value)))
        } else {
            covers_field(&fields, key, value)
        }
    })
}

/// Whether our fields, as JSON text, have this one.
pub(super) fn have(fields: &str, path: &[&str]) -> bool {
    let Ok(fields) = serde_json::from_str::<Value>(fields) else { return false };
    path.iter().try_fold(&fields, |fields, name| fields.get(format!("f:{name}"))).is_some()
}

fn covers_field(listed: &Map<String, Value>, key: &str, sent: &Value) -> bool {
    if sent.is_null() {
        return true;
    }
    match listed.get(&format!("f:{key}")) {
        Some(Value::Object(below)) => covers(below, sent),
        _ => false,
    }
}

fn covers(listed: &Map<String, Value>, sent: &Value) -> bool {
    // Nothing below is listed by itself: it is one value to the API server.
    if listed.keys().all(|key| key == ".") {
        return true;
    }
    match sent {
        Value::Object(fields) => fields.iter().all(|(key, value)| covers_field(listed, key, value)),
        Value::Array(items) => items.iter().all(|item| covers_item(listed, item)),
        _ => false,
    }
}

fn covers_item(listed: &Map<String, Value>, item: &Value) -> bool {
    listed.iter().any(|(key, below)| match (key.split_once(':'), below) {
        (Some(("k", keys)), Value::Object(below)) => is_named(item, keys) && covers(below, item),
        (Some(("v", value)), _) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item),
        _ => false,
    })
}

/// Whether these are the keys of this item. One that wasn't sent has a default; the text of an owner's uid is cut out.
fn is_named(item: &Value, keys: &str) -> bool {
    let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { return false };
    keys.iter().all(|(key, value)| *value == "" || item.get(key).is_none_or(|sent| sent == value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

    use serde_json::json;

    use super::*;

    fn covered(fields: Value, sent: Value) -> bool {
        cover(&fields.to_string(), &sent)
    }

    #[test]
    fn a_field_that_somebody_took_is_not_covered() {
        let sent =
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {"replicas": 2, "x": "y"}});
        assert!(covered(json!({"f:spec": {"f:replicas": {}, "f:x": {}}}), sent.clone()));
        assert!(!covered(json!({"f:spec": {"f:x": {}}}), sent.clone()));
        assert!(!covered(json!({}), sent));
    }

    #[test]
    fn labels_and_annotations_count_and_identity_does_not() {
        let sent = json!({"metadata": {"name": "a", "namespace": "b", "labels": {"l": "1"}}});
        assert!(covered(json!({"f:metadata": {"f:labels": {"f:l": {}}}}), sent.clone()));
        assert!(!covered(json!({"f:metadata": {"f:labels": {}}}), json!({"metadata": {"annotations": {"a": "1"}}})));
        assert!(!covered(json!({"f:metadata": {"f:labels": {"f:other": {}}}}), sent));
    }

    #[test]
    fn items_of_a_list_are_told_by_their_keys() {
        let container = |below: Value| json!({"f:containers": {r#"k:{"name":"ours"}"#: below}});
        let sent = json!({"containers": [{"name": "ours", "image": "i", "env": [{"name": "A", "value": "1"}]}]});
        let env = json!({".": {}, "f:name": {}, "f:image": {}, "f:env":
            {".": {}, r#"k:{"name":"A"}"#: {".": {}, "f:name": {}, "f:value": {}}}});
        assert!(covered(container(env), sent.clone()));
        let taken = json!({".": {}, "f:name": {}, "f:image": {}, "f:env":
            {".": {}, r#"k:{"name":"A"}"#: {".": {}, "f:name": {}}}});
        assert!(!covered(container(taken), sent.clone()), "its value was taken");
        assert!(!covered(json!({"f:containers": {r#"k:{"name":"sidecar"}"#: {"f:name": {}}}}), sent));
    }

    #[test]
    fn a_key_that_was_not_sent_has_its_default() {
        let fields = json!({"f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:port": {}}}});
        assert!(covered(fields.clone(), json!({"ports": [{"port": 80}]})));
        assert!(!covered(fields, json!({"ports": [{"port": 81}]})));
    }

    #[test]
    fn a_list_without_keys_is_one_value_or_a_set() {
        let drop = json!({"drop": ["ALL"]});
        assert!(covered(json!({"f:drop": {}}), drop.clone()));
        assert!(covered(json!({"f:drop": {r#"v:"ALL""#: {}}}), drop.clone()));
        assert!(!covered(json!({"f:drop": {r#"v:"SOME""#: {}}}), drop));
    }

    #[test]
    fn what_is_null_is_not_sent() {
        assert!(covered(json!({"f:a": {}}), json!({"a": 1, "d": null})));
        assert!(!covered(json!({"f:a": {}}), json!({"a": 1, "emptyDir": {}})), "its removal would not be seen");
    }

    #[test]
    fn one_field_is_found_by_its_path() {
        let fields = json!({"f:spec": {"f:replicas": {}}}).to_string();
        assert!(have(&fields, &["spec", "replicas"]));
        assert!(!have(&fields, &["spec", "paused"]));
    }
}
