//! The part of a live object that corresponds to what we set.
//!
//! The API server fills in defaults, rewrites quantities (`0.5` becomes `500m`) and keeps the
//! fields of others, so a live object never equals what was sent. Cut down to the fields that we
//! set, it equals what the API server answered when we set them, until somebody changes one.

use serde_json::{Map, Value};

/// Keys by which Kubernetes tells list elements apart, in the lists that we write.
const LIST_KEYS: [&str; 3] = ["name", "mountPath", "topologyKey"];

/// Cuts `live` down to the fields that `desired` sets. What is missing in `live` is `null`.
pub(super) fn project(live: &Value, desired: &Value) -> Value {
    match desired {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, wanted)| (key.clone(), live.get(key).map_or(Value::Null, |value| project(value, wanted))))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(wanted) => match list_key(wanted) {
            Some(key) => Value::Array(
                wanted
                    .iter()
                    .map(|item| element(live, key, &item[key]).map_or(Value::Null, |v| project(v, item)))
                    .collect(),
            ),
            // A list without keys belongs to one manager as a whole.
            None => live.clone(),
        },
        _ => live.clone(),
    }
}

/// The key that every element of a list has, if there is one.
fn list_key(list: &[Value]) -> Option<&'static str> {
    if list.is_empty() {
        return None;
    }
    LIST_KEYS.into_iter().find(|key| list.iter().all(|item| item.get(key).is_some_and(Value::is_string)))
}

fn element<'a>(list: &'a Value, key: &str, value: &Value) -> Option<&'a Value> {
    list.as_array()?.iter().find(|item| item.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_others_are_cut_away() {
        let desired = json!({"spec": {"replicas": 2}});
        let live = json!({"spec": {"replicas": 2, "paused": true}, "status": {}});
        assert_eq!(project(&live, &desired), desired);
    }

    #[test]
    fn what_is_missing_shows() {
        let desired = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let live = json!({"metadata": {"labels": {"b": "2"}}});
        assert_eq!(project(&live, &desired), json!({"metadata": {"labels": {"a": null, "b": "2"}}}));
    }

    #[test]
    fn elements_are_found_by_key_whatever_their_place() {
        let desired = json!([{"name": "ours", "image": "a"}]);
        let live = json!([{"name": "sidecar", "image": "x"}, {"name": "ours", "image": "b", "tty": true}]);
        assert_eq!(project(&live, &desired), json!([{"name": "ours", "image": "b"}]));
        assert_eq!(project(&json!([]), &desired), json!([null]));
    }

    #[test]
    fn a_list_without_keys_counts_as_a_whole() {
        let desired = json!({"drop": ["ALL"]});
        let live = json!({"drop": ["ALL", "MORE"]});
        assert_eq!(project(&live, &desired), live);
    }
}
