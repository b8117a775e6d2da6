//! What was applied, and what the API server made of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::lock::lock;

/// A child.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: String,
}

/// What was applied to a child last.
#[derive(Debug)]
pub(super) struct Entry {
    /// What was sent.
    pub(super) desired: Value,
    /// The same fields as they stood in the answer.
    pub(super) projection: Value,
}

/// The memory of an applier. It starts empty: after a restart each child is applied once, which
/// changes nothing in the cluster where nothing has to be changed.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<Key, Arc<Entry>>>);

impl Ledger {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        lock(&self.0).get(key).cloned()
    }

    pub(super) fn insert(&self, key: Key, desired: Value, projection: Value) {
        lock(&self.0).insert(key, Arc::new(Entry { desired, projection }));
    }

    pub(super) fn remove(&self, key: &Key) {
        lock(&self.0).remove(key);
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        lock(&self.0).retain(|key, _| key.namespace != namespace || key.name != name);
    }
}
