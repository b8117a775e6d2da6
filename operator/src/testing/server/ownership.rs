//! Who owns which field, as server-side apply sees it: fields by name, list items by key, all else as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A way into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Field(String),
    /// The item of a list with these keys, as JSON.
    Item(String),
}

pub(super) type Path = Vec<Step>;
pub(super) type Fields = BTreeSet<Path>;

/// An entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: &'static str,
    pub(super) subresource: String,
    pub(super) api_version: String,
    pub(super) fields: Fields,
}

impl Manager {
    pub(super) fn is(&self, name: &str, operation: &str, subresource: &str) -> bool {
        self.name == name && self.operation == operation && self.subresource == subresource
    }
}

/// What belongs to the server itself.
const UNOWNED: [&str; 9] = [
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
];

/// All fields of an object that can have an owner.
pub(super) fn fields(object: &Value) -> Fields {
    let mut found = Fields::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (inner, value) in value.as_object().into_iter().flatten() {
                    if !UNOWNED.contains(&inner.as_str()) {
                        let path = vec![Step::Field(name.clone()), Step::Field(inner.clone())];
                        walk(inner, value, path, &mut found);
                    }
                }
            }
            _ => walk(name, value, vec![Step::Field(name.clone())], &mut found),
        }
    }
    found
}

fn walk(name: &str, value: &Value, path: Path, found: &mut Fields) {
    let below = |step| path.iter().cloned().chain([step]).collect::<Path>();
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (inner, value) in object {
                walk(inner, value, below(Step::Field(inner.clone())), found);
            }
        }
        Value::Array(items) if keys(name, items).is_some() => {
            for item in items {
                let path = below(Step::Item(key_of(name, items, item)));
                found.insert(path.clone());
                walk("", item, path, found);
            }
        }
        _ => {
            found.insert(path);
        }
    }
}

/// The fields that tell the items of a list apart, where the list isn't owned as a whole.
pub(super) fn keys(list: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let keys: &[&str] = match list {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ports" if items.iter().all(|item| item.get("containerPort").is_some()) => &["containerPort", "protocol"],
        "ports" if items.iter().all(|item| item.get("port").is_some() && item.get("name").is_some()) => {
            &["port", "protocol"]
        }
        _ => return None,
    };
    let keyed = items.iter().all(|item| item.get(keys[0]).is_some());
    (keyed && !items.is_empty()).then_some(keys)
}

/// The keys of an item, as JSON.
pub(super) fn key_of(list: &str, items: &[Value], item: &Value) -> String {
    let mut key = Map::new();
    for name in keys(list, items).unwrap_or_default() {
        let given = item.get(name).cloned();
        key.insert(
            (*name).to_owned(),
            given.unwrap_or_else(|| if *name == "protocol" { json!("TCP") } else { json!("") }),
        );
    }
    Value::Object(key).to_string()
}

/// The value at a path.
pub(super) fn get<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let mut at = object;
    let mut name = "";
    for step in path {
        at = match step {
            Step::Field(field) => {
                name = field;
                at.get(field)?
            }
            Step::Item(key) => {
                let items = at.as_array()?;
                items.iter().find(|item| key_of(name, items, item) == *key)?
            }
        };
    }
    Some(at)
}

/// Removes the value at a path, and what is left empty by that.
pub(super) fn remove(object: &mut Value, path: &[Step]) {
    remove_below("", object, path);
}

fn remove_below(name: &str, at: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    let is_empty =
        |value: &Value| value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    match (step, at) {
        (Step::Field(field), Value::Object(object)) => {
            let Some(inner) = object.get_mut(field) else { return };
            remove_below(field, inner, rest);
            if rest.is_empty() || is_empty(inner) {
                object.remove(field);
            }
        }
        (Step::Item(key), Value::Array(items)) => {
            let Some(place) = items.iter().position(|item| key_of(name, items, item) == *key) else { return };
            if rest.is_empty() {
                items.remove(place);
            } else {
                remove_below("", &mut items[place], rest);
            }
        }
        _ => {}
    }
}

/// Puts what is applied over what is there.
pub(super) fn merge(name: &str, live: &mut Value, applied: &Value) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            for (field, value) in applied {
                match live.get_mut(field) {
                    Some(inner) => merge(field, inner, value),
                    None => drop(live.insert(field.clone(), value.clone())),
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) if keys(name, live).is_some() && keys(name, applied).is_some() => {
            for item in applied {
                let key = key_of(name, applied, item);
                match live.iter().position(|other| key_of(name, live, other) == key) {
                    Some(place) => merge("", &mut live[place], item),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, applied) => *live = applied.clone(),
    }
}

/// The managers of an object.
pub(super) fn managers(object: &Value) -> Vec<Manager> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let mut fields = Fields::new();
            decode(entry.get("fieldsV1")?, &[], &mut fields);
            let operation = if entry["operation"] == "Apply" { "Apply" } else { "Update" };
            let (name, subresource, api_version) = (text("manager"), text("subresource"), text("apiVersion"));
            Some(Manager { name, operation, subresource, api_version, fields })
        })
        .collect()
}

/// Writes the managers of an object. One that owns nothing isn't a manager.
pub(super) fn set_managers(object: &mut Value, managers: &[Manager]) {
    let entries = managers.iter().filter(|manager| !manager.fields.is_empty()).map(|manager| {
        let mut entry = json!({
            "manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version,
            "time": super::store::CREATED, "fieldsType": "FieldsV1", "fieldsV1": encode(&manager.fields),
        });
        if !manager.subresource.is_empty() {
            entry["subresource"] = json!(manager.subresource);
        }
        entry
    });
    object["metadata"]["managedFields"] = entries.collect();
}

fn encode(fields: &Fields) -> Value {
    let mut tree = Map::new();
    for path in fields {
        note(&mut tree, path);
    }
    Value::Object(tree)
}

fn note(tree: &mut Map<String, Value>, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    let name = match step {
        Step::Field(field) => format!("f:{field}"),
        Step::Item(key) => format!("k:{key}"),
    };
    let Value::Object(inner) = tree.entry(name).or_insert_with(|| json!({})) else { return };
    if rest.is_empty() && matches!(step, Step::Item(_)) {
        inner.insert(".".to_owned(), json!({}));
    }
    note(inner, rest);
}

fn decode(tree: &Value, path: &[Step], fields: &mut Fields) {
    let inner = tree.as_object().into_iter().flatten();
    if tree.as_object().is_none_or(Map::is_empty) && !path.is_empty() {
        fields.insert(path.to_vec());
    }
    for (name, tree) in inner {
        let step = match name.split_once(':') {
            Some(("f", field)) => Step::Field(field.to_owned()),
            Some(("k", key)) => Step::Item(key.to_owned()),
            _ => {
                // A dot: the item itself.
                fields.insert(path.to_vec());
                continue;
            }
        };
        decode(tree, &path.iter().cloned().chain([step]).collect::<Path>(), fields);
    }
}

/// A path as the causes of a conflict name it.
pub(super) fn text(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Field(field) => format!(".{field}"),
        Step::Item(key) => {
            let keys: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
    };
    path.iter().map(step).collect()
}
