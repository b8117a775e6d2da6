//! A service that is being put together, and what there is to say about it.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Fields;
use crate::{
    input::{API_VERSION, KIND, documents},
    lint::{Finding, Linter},
};

/// Annotations and labels of these programs mean nothing to this one.
const STRANGERS: [&str; 6] = [
    "kserve.io/",
    "knative.dev/",
    "seldon.io/",
    "kubectl.kubernetes.io/",
    "deployment.kubernetes.io/",
    "prometheus.io/",
];

/// Something to tell about a conversion.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// A field of the source that the result knows nothing of.
    LeftOut(String, String),
    /// What a person has to do.
    ByHand(String),
    /// What a cluster would say of the result.
    Refused(String),
}

impl Note {
    /// Whether the result is less than its source, or no good.
    pub fn is_loss(&self) -> bool {
        !matches!(self, Self::ByHand(_))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(path, why) => write!(f, "left out: {path}: {why}"),
            Self::ByHand(what) => write!(f, "by hand: {what}"),
            Self::Refused(sentence) => write!(f, "would be refused: {sentence}"),
        }
    }
}

/// A service in the making.
#[derive(Debug)]
pub struct Draft {
    metadata: Map<String, Value>,
    spec: Value,
    notes: Vec<Note>,
}

impl Draft {
    /// One with this name and namespace, and with labels and annotations that aren't of the source's own programs.
    pub fn of(mut source: Fields) -> Self {
        let mut metadata = Map::new();
        for name in ["name", "namespace"] {
            metadata.extend(source.take(name).map(|value| (name.to_owned(), value)));
        }
        let mut draft = Self { metadata, spec: json!({}), notes: Vec::new() };
        for name in ["labels", "annotations"] {
            for (key, value) in source.object(name).left() {
                let key = key.strip_prefix(&format!("metadata.{name}.")).unwrap_or(&key);
                draft.metadata.entry(name).or_insert_with(|| json!({}))[key] = value;
            }
        }
        draft
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Takes a label or an annotation that means something to the source.
    pub fn take_metadata(&mut self, kind: &str, key: &str) -> Option<String> {
        let value = self.metadata.get_mut(kind)?.as_object_mut()?.remove(key)?;
        value.as_str().map(ToOwned::to_owned)
    }

    /// Sets a field of the spec, by its path.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let mut place = &mut self.spec;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value.into();
    }

    /// Sets a field to what was taken, if anything was.
    pub fn put(&mut self, path: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.set(path, value);
        }
    }

    /// The entries of a map in the spec, which is made where it isn't there.
    pub fn entries(&mut self, path: &str) -> Option<&mut Map<String, Value>> {
        if !self.has(path) {
            self.set(path, json!({}));
        }
        path.split('.').fold(&mut self.spec, |place, name| &mut place[name]).as_object_mut()
    }

    /// Takes a field of the spec's top back.
    pub fn unset(&mut self, name: &str) {
        if let Value::Object(fields) = &mut self.spec {
            fields.remove(name);
        }
    }

    /// A field of the spec.
    pub fn get(&self, path: &str) -> &Value {
        path.split('.').fold(&self.spec, |place, name| &place[name])
    }

    /// Whether a field of the spec is set.
    pub fn has(&self, path: &str) -> bool {
        !self.get(path).is_null()
    }

    /// Takes a field that has no counterpart, if it is there, and says why.
    pub fn leave(&mut self, fields: &mut Fields, name: &str, why: &str) {
        if fields.take(name).is_some() {
            self.left_out(fields.path(name), why);
        }
    }

    /// Says of a path that it has no counterpart.
    pub fn left_out(&mut self, path: impl Into<String>, why: &str) {
        self.notes.push(Note::LeftOut(path.into(), why.to_owned()));
    }

    /// Says what a person has to do, once.
    pub fn by_hand(&mut self, what: impl Into<String>) {
        let note = Note::ByHand(what.into());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Says of all that is left of an object that it has no counterpart.
    pub fn rest(&mut self, fields: Fields) {
        for (path, _) in fields.left() {
            self.left_out(path, "has no counterpart");
        }
    }

    /// The service, and what there is to say.
    pub fn finished(mut self, linter: &Linter) -> (Value, Vec<Note>) {
        for kind in ["labels", "annotations"] {
            let Some(Value::Object(entries)) = self.metadata.remove(kind) else { continue };
            let (strange, own): (Map<_, _>, Map<_, _>) =
                entries.into_iter().partition(|(key, _)| STRANGERS.iter().any(|name| key.contains(name)));
            // What kubectl and controllers write for their own books is nobody's loss.
            for key in strange.keys().filter(|key| key.contains("kserve.io/") || key.contains("seldon.io/")) {
                self.left_out(format!("metadata.{kind}.{key}"), "has no counterpart");
            }
            if !own.is_empty() {
                self.metadata.insert(kind.to_owned(), Value::Object(own));
            }
        }
        let service = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": self.metadata, "spec": self.spec});
        for document in documents("result", &service.to_string()) {
            for Finding { path, sentence, .. } in linter.check(&document) {
                self.notes.push(Note::Refused(if path.is_empty() { sentence } else { format!("{path}: {sentence}") }));
            }
        }
        (service, self.notes)
    }
}
