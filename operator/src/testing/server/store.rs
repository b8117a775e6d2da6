//! The objects, and what has happened to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// When everything was made: a clock has no part in decisions.
pub(super) const CREATED: &str = "2026-01-01T00:00:00Z";

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One step in the history of an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<Key, Value>,
    pub(super) history: Vec<Change>,
    pub(super) version: u64,
    /// Changes up to this version are forgotten.
    pub(super) forgotten: u64,
    /// Plural names of kinds that aren't installed.
    pub(super) missing: BTreeSet<String>,
    /// Namespaces in which nothing new is made.
    pub(super) terminating: BTreeSet<String>,
    /// Whether volumes of images are dropped.
    pub(super) drops_image_volumes: bool,
    made: u64,
}

impl Default for Store {
    fn default() -> Self {
        // As in etcd, version 1 is that of no object.
        Self {
            objects: BTreeMap::new(),
            history: Vec::new(),
            version: 1,
            forgotten: 0,
            missing: BTreeSet::new(),
            terminating: BTreeSet::new(),
            drops_image_volumes: false,
            made: 0,
        }
    }
}

impl Store {
    /// Stores an object as it is to be from now on; whether anything has changed by that.
    pub(super) fn write(&mut self, key: Key, mut after: Value) -> Value {
        let before = self.objects.get(&key).cloned();
        let uid = before.as_ref().map_or_else(|| json!(self.next_uid()), |before| before["metadata"]["uid"].clone());
        let generation = before.as_ref().map_or(json!(1), |before| before["metadata"]["generation"].clone());
        let metadata = &mut after["metadata"];
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["uid"] = uid;
        let created = before.as_ref().map(|before| before["metadata"]["creationTimestamp"].clone());
        metadata["creationTimestamp"] = match (created, &metadata["creationTimestamp"]) {
            (Some(created), _) => created,
            // Who makes an object here may say when.
            (None, Value::String(given)) => json!(given),
            (None, _) => json!(CREATED),
        };
        metadata["generation"] = generation;
        if let Some(before) = &before {
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if *before == after {
                return after;
            }
            if before.get("spec") != after.get("spec") {
                let generation = before["metadata"]["generation"].as_i64().unwrap_or(1) + 1;
                after["metadata"]["generation"] = json!(generation);
            }
        }
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(Change { version: self.version, key: key.clone(), before, after: Some(after.clone()) });
        self.objects.insert(key, after.clone());
        after
    }

    /// Takes an object away.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut before = self.objects.remove(key)?;
        self.version += 1;
        before["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(Change {
            version: self.version,
            key: key.clone(),
            before: Some(before.clone()),
            after: None,
        });
        Some(before)
    }

    fn next_uid(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012}", self.made)
    }
}

/// What a list or a watch is limited to.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: String,
    pub(super) fields: String,
}

impl Selection {
    pub(super) fn has(&self, key: &Key, object: &Value) -> bool {
        self.is_of(key)
            && requirements(&self.labels).all(|(name, value, equal)| {
                let found = object["metadata"]["labels"].get(name).and_then(Value::as_str);
                value.map_or(found.is_some(), |value| found == Some(value)) == equal
            })
            && requirements(&self.fields).all(|(path, value, equal)| {
                let found = path.split('.').try_fold(object, |at, name| at.get(name));
                (found.and_then(Value::as_str).unwrap_or_default() == value.unwrap_or_default()) == equal
            })
    }

    pub(super) fn is_of(&self, key: &Key) -> bool {
        key.group == self.group
            && key.resource == self.resource
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

/// `a=b`, `a==b`, `a!=b`, `a` and `!a`: the name, the value, and whether it is to be so.
fn requirements(selector: &str) -> impl Iterator<Item = (&str, Option<&str>, bool)> {
    selector.split(',').filter(|text| !text.is_empty()).map(|text| {
        if let Some((name, value)) = text.split_once("!=") {
            (name, Some(value), false)
        } else if let Some((name, value)) = text.split_once('=') {
            (name, Some(value.trim_start_matches('=')), true)
        } else if let Some(name) = text.strip_prefix('!') {
            (name, None, false)
        } else {
            (text, None, true)
        }
    })
}
