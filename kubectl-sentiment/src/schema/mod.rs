//! Holds an object to an OpenAPI schema as the API server does, in its words, so that who knows the one knows the other.
//!
//! A keyword that isn't known here is a finding: nothing passes because nobody looked.

mod value;

use serde_json::{Map, Value};

use self::value::{Kind, Pattern};

/// Keywords that are looked at, or that ask for nothing.
const KNOWN: [&str; 31] = [
    "type",
    "properties",
    "additionalProperties",
    "items",
    "required",
    "enum",
    "nullable",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "allOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    // The rules are run by themselves.
    "x-kubernetes-validations",
    // These ask for nothing: how objects are merged, what is filled in, what people read.
    "x-kubernetes-map-type",
    "default",
    "description",
    "title",
    "example",
];

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, such as `spec.env[0].name`.
    pub path: String,
    /// What, and where that helps what would be right.
    pub sentence: String,
    /// Whether rules can't be run on such an object: the API server doesn't either.
    pub blocks_rules: bool,
}

/// What is wrong with a value by this schema.
#[must_use]
pub fn faults(schema: &Value, value: &Value, path: &str) -> Vec<Fault> {
    let mut walk = Walk { faults: Vec::new() };
    walk.check(schema, value, path);
    walk.faults
}

struct Walk {
    faults: Vec<Fault>,
}

impl Walk {
    fn refuse(&mut self, path: &str, sentence: String) {
        self.faults.push(Fault { path: path.to_owned(), sentence, blocks_rules: false });
    }

    fn block(&mut self, path: &str, sentence: String) {
        self.faults.push(Fault { path: path.to_owned(), sentence, blocks_rules: true });
    }

    fn check(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(schema) = schema.as_object() else {
            return self.block(path, "the schema has no form that is understood here".to_owned());
        };
        for keyword in schema.keys().filter(|keyword| !KNOWN.contains(&keyword.as_str())) {
            self.block(path, format!("the schema's keyword {keyword} isn't understood here: ask the API server"));
        }
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if let Some(expected) = wrong_type(schema, value) {
            let found = Kind::of(value);
            let sentence =
                format!("Invalid value: \"{found}\": {path} in body must be of type {expected}: \"{found}\"");
            return self.block(path, sentence);
        }
        self.check_enum(schema, value, path);
        match value {
            Value::Object(fields) => self.check_object(schema, fields, path),
            Value::Array(items) => self.check_list(schema, items, path),
            Value::String(text) => self.check_text(schema, text, path),
            Value::Number(_) => self.check_number(schema, value, path),
            Value::Bool(_) | Value::Null => {}
        }
        self.check_alternatives(schema, value, path);
    }

    fn check_enum(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array).filter(|allowed| !allowed.contains(value)) {
            let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
            self.refuse(path, format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")));
        }
    }

    fn check_object(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>, path: &str) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.block(&below(path, name), "Required value".to_owned());
            }
        }
        if let Some(most) = number(schema, "maxProperties").filter(|most| fields.len() as u64 > *most) {
            self.block(path, format!("Too many: {}: must have at most {most} items", fields.len()));
        }
        if let Some(least) = number(schema, "minProperties").filter(|least| (fields.len() as u64) < *least) {
            self.refuse(
                path,
                format!("Invalid value: \"object\": {path} in body should have at least {least} properties"),
            );
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        for (name, value) in fields {
            let path = below(path, name);
            let known = properties.and_then(|properties| properties.get(name));
            match (known, schema.get("additionalProperties")) {
                // Dropped, and the default takes its place.
                (Some(schema), _) if value.is_null() && schema.get("default").is_some() => {}
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => self.check(schema, value, &path),
                (None, Some(Value::Bool(true))) => {}
                (None, _) if keeps_unknown => {}
                (None, _) => self.refuse(&path, format!("unknown field \"{path}\"")),
            }
        }
    }

    fn check_list(&mut self, schema: &Map<String, Value>, items: &[Value], path: &str) {
        if let Some(most) = number(schema, "maxItems").filter(|most| items.len() as u64 > *most) {
            self.block(path, format!("Too many: {}: must have at most {most} items", items.len()));
        }
        if let Some(least) = number(schema, "minItems").filter(|least| (items.len() as u64) < *least) {
            let found = items.len();
            self.refuse(path, format!("Invalid value: {found}: {path} in body should have at least {least} items"));
        }
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.check(schema, item, &format!("{path}[{index}]"));
            }
        }
        self.check_duplicates(schema, items, path);
    }

    fn check_duplicates(&mut self, schema: &Map<String, Value>, items: &[Value], path: &str) {
        let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Vec::new(),
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                keys.into_iter().flatten().filter_map(Value::as_str).collect()
            }
            _ => return,
        };
        let identity = |item: &Value| -> Value {
            if keys.is_empty() {
                return item.clone();
            }
            keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(key)?.clone()))).collect()
        };
        let identities: Vec<Value> = items.iter().map(identity).collect();
        for (index, identity) in identities.iter().enumerate() {
            if identities[..index].contains(identity) {
                self.refuse(&format!("{path}[{index}]"), format!("Duplicate value: {identity}"));
            }
        }
    }

    fn check_text(&mut self, schema: &Map<String, Value>, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(most) = number(schema, "maxLength").filter(|most| length > *most) {
            self.block(path, format!("Too long: may not be more than {most} bytes"));
        }
        let shown = Value::from(text);
        if let Some(least) = number(schema, "minLength").filter(|least| length < *least) {
            self.refuse(path, format!("Invalid value: {shown}: {path} in body should be at least {least} chars long"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            match Pattern::new(pattern) {
                Ok(compiled) if compiled.matches(text) => {}
                Ok(_) => self.refuse(path, format!("Invalid value: {shown}: {path} in body should match '{pattern}'")),
                Err(error) => {
                    self.block(
                        path,
                        format!("the schema's pattern '{pattern}' isn't understood here ({error}): ask the API server"),
                    );
                }
            }
        }
        match schema.get("format").and_then(Value::as_str) {
            None => {}
            Some(format) => match value::has_format(text, format) {
                Some(true) => {}
                Some(false) => {
                    self.refuse(
                        path,
                        format!("Invalid value: {shown}: {path} in body must be of type {format}: {shown}"),
                    );
                }
                None => {
                    self.block(path, format!("the schema's format {format} isn't understood here: ask the API server"));
                }
            },
        }
    }

    fn check_number(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        if let Some(format) = schema.get("format").and_then(Value::as_str) {
            match value::fits(value, format) {
                Some(true) => {}
                Some(false) => {
                    self.refuse(path, format!("Invalid value: {value}: {path} in body must be of type {format}"));
                }
                None => {
                    self.block(path, format!("the schema's format {format} isn't understood here: ask the API server"));
                }
            }
        }
        let found = value.as_f64().unwrap_or_default();
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let is_exclusive = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        if let Some(least) = bound("minimum") {
            let open = is_exclusive("exclusiveMinimum");
            if found < least || (open && found <= least) {
                let or_equal = if open { "" } else { "or equal to " };
                self.refuse(
                    path,
                    format!("Invalid value: {value}: {path} in body should be greater than {or_equal}{least}"),
                );
            }
        }
        if let Some(most) = bound("maximum") {
            let open = is_exclusive("exclusiveMaximum");
            if found > most || (open && found >= most) {
                let or_equal = if open { "" } else { "or equal to " };
                self.refuse(
                    path,
                    format!("Invalid value: {value}: {path} in body should be less than {or_equal}{most}"),
                );
            }
        }
    }

    fn check_alternatives(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        let list = |name: &str| schema.get(name).and_then(Value::as_array);
        if let Some(all) = list("allOf") {
            for schema in all {
                self.check_branch(schema, value, path);
            }
        }
        if let Some(any) = list("anyOf") {
            let holds = |schema: &&Value| {
                let mut branch = Self { faults: Vec::new() };
                branch.check_branch(schema, value, path);
                branch.faults.is_empty()
            };
            if !any.iter().any(|schema| holds(&schema)) {
                self.refuse(
                    path,
                    format!("Invalid value: {value}: {path} in body must validate at least one schema (anyOf)"),
                );
            }
        }
    }

    /// A branch names no fields of its own: these are in the schema around it, and here only what is asked of them.
    fn check_branch(&mut self, schema: &Value, value: &Value, path: &str) {
        let mut open = schema.clone();
        if let (Some(open), true) = (open.as_object_mut(), value.is_object()) {
            open.entry("x-kubernetes-preserve-unknown-fields").or_insert(Value::Bool(true));
        }
        self.check(&open, value, path);
    }
}

/// The type that was asked for, where the value is of another.
fn wrong_type(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let found = Kind::of(value);
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return (!matches!(found, Kind::Integer | Kind::String)).then(|| "integer,string".to_owned());
    }
    let expected = schema.get("type").and_then(Value::as_str)?;
    let fits = found.to_string() == expected || (expected == "number" && found == Kind::Integer);
    (!fits).then(|| expected.to_owned())
}

fn number(schema: &Map<String, Value>, keyword: &str) -> Option<u64> {
    schema.get(keyword).and_then(Value::as_u64)
}

/// The path of a field.
#[must_use]
pub fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests;
