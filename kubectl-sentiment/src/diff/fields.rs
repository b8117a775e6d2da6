//! What an apply would make of an object, worked out here: for those who may read and not write.
//!
//! The fields that are sent take the place of the live ones, and those that the operator has and no longer sends go. Lists
//! are merged by the keys that Kubernetes' own types have. The API server knows more (defaults, rounding, webhooks); what
//! isn't sent is left as it is.

use kubesentiment_operator::api::{MANAGER, Quantity};
use serde_json::{Map, Value};

/// The keys by which items of lists are told apart: the first that does.
const KEYS: [&str; 6] = ["name", "containerPort", "port", "mountPath", "topologyKey", "uid"];
/// Fields whose values are quantities, which the API server writes in a form of its own.
const OF_QUANTITIES: [&str; 3] = ["requests", "limits", "capacity"];

/// The object after an apply of the operator's.
pub(super) fn applied(live: &Value, wanted: &Value) -> Value {
    let mut after = live.clone();
    for entry in live["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let is_ours = entry["manager"] == MANAGER && entry["operation"] == "Apply";
        if let (Value::Object(fields), true) = (&entry["fieldsV1"], is_ours) {
            drop_unwanted(fields, &mut after, wanted);
        }
    }
    merge(&mut after, wanted, "");
    after
}

/// Takes out what is ours and no longer wanted.
fn drop_unwanted(owned: &Map<String, Value>, after: &mut Value, wanted: &Value) {
    for (key, below) in owned {
        let Value::Object(below) = below else { continue };
        if let (Some(name), Some(fields)) = (key.strip_prefix("f:"), after.as_object_mut()) {
            match (wanted.get(name), fields.get_mut(name)) {
                (None, Some(_)) if !is_shared(below) => drop(fields.remove(name)),
                (wanted, Some(value)) => drop_unwanted(below, value, wanted.unwrap_or(&Value::Null)),
                (_, None) => {}
            }
        } else if let (Some(keys), Some(items)) = (key.strip_prefix("k:"), after.as_array_mut()) {
            let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { continue };
            let is_it = |item: &Value| keys.iter().all(|(key, value)| item.get(key).is_none_or(|found| found == value));
            let wanted = wanted.as_array().and_then(|items| items.iter().find(|item| is_it(item)));
            match wanted {
                None => items.retain(|item| !is_it(item)),
                Some(wanted) => {
                    items.iter_mut().filter(|item| is_it(item)).for_each(|item| drop_unwanted(below, item, wanted));
                }
            }
        }
    }
}

/// Whether others may have fields below: a map or list that isn't listed as a whole.
fn is_shared(below: &Map<String, Value>) -> bool {
    !below.is_empty() && !below.contains_key(".")
}

fn merge(live: &mut Value, wanted: &Value, field: &str) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (name, value) in wanted {
                let below = if OF_QUANTITIES.contains(&field) { field } else { name };
                match live.get_mut(name) {
                    Some(found) => merge(found, value, below),
                    None => drop(live.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(live), Value::Array(wanted)) => merge_lists(live, wanted, field),
        (live, wanted) => {
            if !(OF_QUANTITIES.contains(&field) && is_same_quantity(live, wanted)) {
                *live = wanted.clone();
            }
        }
    }
}

fn merge_lists(live: &mut Vec<Value>, wanted: &[Value], field: &str) {
    let Some(key) = KEYS.into_iter().find(|key| tells_apart(key, wanted) && tells_apart(key, live)) else {
        if live.len() == wanted.len() {
            live.iter_mut().zip(wanted).for_each(|(live, wanted)| merge(live, wanted, field));
        } else {
            *live = wanted.to_vec();
        }
        return;
    };
    for item in wanted {
        match live.iter_mut().find(|found| found[key] == item[key]) {
            Some(found) => merge(found, item, field),
            None => live.push(item.clone()),
        }
    }
}

/// Whether all items have this key, each with a value of its own.
fn tells_apart(key: &str, items: &[Value]) -> bool {
    let values: Vec<Option<&Value>> = items.iter().map(|item| item.get(key)).collect();
    values.iter().enumerate().all(|(place, value)| value.is_some() && !values[..place].contains(value))
}

fn is_same_quantity(one: &Value, other: &Value) -> bool {
    let nanos = |value: &Value| serde_json::from_value::<Quantity>(value.clone()).ok()?.nanos().ok();
    nanos(one).is_some_and(|number| nanos(other) == Some(number))
}
