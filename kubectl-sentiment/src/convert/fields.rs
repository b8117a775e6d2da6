//! An object that is taken apart.

use serde_json::{Map, Value};

use crate::schema::below;

/// Fields from which a converter takes those that it knows. What is left at the end has no counterpart.
#[derive(Debug, Default)]
pub struct Fields {
    path: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// The fields of an object at this path; none of anything else.
    pub fn new(path: &str, value: Value) -> Self {
        let fields = if let Value::Object(fields) = value { fields } else { Map::new() };
        Self { path: path.to_owned(), fields }
    }

    /// Where the object is.
    pub fn place(&self) -> &str {
        &self.path
    }

    /// Where a field is.
    pub fn path(&self, name: &str) -> String {
        below(&self.path, name)
    }

    /// A field, which then isn't left.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// A field as text, where it is one or a number.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The fields of an object in it.
    pub fn object(&mut self, name: &str) -> Self {
        let value = self.take(name).unwrap_or_default();
        Self::new(&self.path(name), value)
    }

    /// The elements of a list in it.
    pub fn list(&mut self, name: &str) -> Vec<Value> {
        if let Some(Value::Array(elements)) = self.take(name) { elements } else { Vec::new() }
    }

    /// The elements of a list of objects.
    pub fn objects(&mut self, name: &str) -> Vec<Self> {
        let path = self.path(name);
        let elements = self.list(name).into_iter().enumerate();
        elements.map(|(index, element)| Self::new(&format!("{path}[{index}]"), element)).collect()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The names of what is left, with their values.
    pub fn left(self) -> impl Iterator<Item = (String, Value)> {
        let Self { path, fields } = self;
        fields.into_iter().filter(|(_, value)| !value.is_null()).map(move |(name, value)| (below(&path, &name), value))
    }
}
