//! The fields of a schema, in the order of a depth-first walk.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// A field of the resource.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Such as `spec.image.tag`; `[]` stands for each element of a list.
    pub path: String,
    /// What it can hold.
    pub schema: &'a JSONSchemaProps,
    /// Whether the object that it is in needs it.
    pub required: bool,
    /// Whether the page describes fields below it.
    pub has_fields_below: bool,
}

/// Fields whose types are Kubernetes' own, though the definition has texts for them.
const OF_KUBERNETES: [&str; 1] = ["spec.env"];

/// All fields below the root of a schema, without those that are Kubernetes' own: the definition has
/// no text for these.
#[must_use]
pub fn fields(root: &JSONSchemaProps) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found
}

fn walk<'a>(parent: &'a JSONSchemaProps, prefix: &str, found: &mut Vec<Field<'a>>) {
    let required = parent.required.as_deref().unwrap_or_default();
    for (name, schema) in parent.properties.iter().flatten() {
        if schema.description.is_none() {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let place = found.len();
        found.push(Field { path: path.clone(), schema, required: required.contains(name), has_fields_below: false });
        match item(schema) {
            _ if OF_KUBERNETES.contains(&path.as_str()) => {}
            Some(item) => walk(item, &format!("{path}[]"), found),
            None => walk(schema, &path, found),
        }
        found[place].has_fields_below = found.len() > place + 1;
    }
}

fn item(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

impl Field<'_> {
    /// 0 for `spec`, 1 for `spec.image`.
    pub(super) fn depth(&self) -> usize {
        self.path.matches('.').count()
    }

    /// The type in a word or two.
    pub(super) fn type_(&self) -> String {
        type_of(self.schema)
    }

    /// Type, bounds and default in one line.
    pub(super) fn facts(&self) -> String {
        let schema = self.schema;
        let mut facts = vec![self.type_()];
        if self.required {
            facts.push("required".to_owned());
        }
        facts.extend(range("", schema.minimum, schema.maximum));
        facts.extend(range(" characters", schema.min_length.map(to_f64), schema.max_length.map(to_f64)));
        facts.extend(range(" elements", schema.min_items.map(to_f64), schema.max_items.map(to_f64)));
        facts.extend(range(" keys", schema.min_properties.map(to_f64), schema.max_properties.map(to_f64)));
        facts.extend(schema.pattern.as_ref().map(|pattern| format!("matches `{pattern}`")));
        // That of `spec` is an empty object, which says nothing.
        let default = schema.default.as_ref().filter(|default| !default.0.is_object());
        facts.extend(default.map(|default| format!("default `{}`", plain(&default.0))));
        format!("{}\n", facts.join(", "))
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let Some(values) = &schema.enum_ {
        // `null` is what a field that may be left out has beside its values.
        let values = values.iter().filter(|value| !value.0.is_null());
        let values: Vec<String> = values.map(|value| format!("`{}`", plain(&value.0))).collect();
        return format!("one of {}", values.join(", "));
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        return "integer or string".to_owned();
    }
    match schema.type_.as_deref().unwrap_or_default() {
        "array" => format!("list of {}", item(schema).map(type_of).unwrap_or_default()),
        "object" => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => format!("map of string to {}", type_of(value)),
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn range(what: &str, low: Option<f64>, high: Option<f64>) -> Option<String> {
    match (low, high) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}{what}")),
        (Some(low), None) => Some(format!("at least {low}{what}")),
        (None, Some(high)) => Some(format!("at most {high}{what}")),
        (None, None) => None,
    }
}

/// Bounds of lengths are small.
fn to_f64(bound: i64) -> f64 {
    i32::try_from(bound).map_or(f64::MAX, f64::from)
}

/// A value as a person writes it in YAML.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> JSONSchemaProps {
        serde_json::from_value(json!({"type": "object", "properties": {"spec": {
            "type": "object", "description": "d", "default": {}, "required": ["name"], "properties": {
                "name": {"type": "string", "description": "d", "minLength": 1, "maxLength": 9, "pattern": "^a"},
                "ports": {"type": "array", "description": "d", "maxItems": 3, "items": {
                    "type": "object", "properties": {"port": {"type": "integer", "description": "d", "minimum": 1}},
                }},
                "env": {"type": "array", "description": "d", "items": {
                    "type": "object", "properties": {"value": {"type": "string"}},
                }},
                "mode": {"type": "string", "description": "d", "enum": ["A", "B", null], "default": "A"},
                "labels": {"type": "object", "description": "d", "additionalProperties": {"type": "string"}},
                "either": {"description": "d", "x-kubernetes-int-or-string": true},
            },
        }}}))
        .unwrap()
    }

    #[test]
    fn fields_are_found_and_those_of_kubernetes_are_not() {
        let schema = schema();
        let found = fields(&schema);
        let paths: Vec<&str> = found.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec",
                "spec.either",
                "spec.env",
                "spec.labels",
                "spec.mode",
                "spec.name",
                "spec.ports",
                "spec.ports[].port"
            ]
        );
        let below: Vec<&str> =
            found.iter().filter(|field| field.has_fields_below).map(|field| field.path.as_str()).collect();
        assert_eq!(below, ["spec", "spec.ports"]);
    }

    #[test]
    fn facts_tell_type_bounds_and_default() {
        let schema = schema();
        let facts: Vec<String> = fields(&schema).iter().map(Field::facts).collect();
        assert_eq!(
            facts,
            [
                "object\n",
                "integer or string\n",
                "list of object\n",
                "map of string to string\n",
                "one of `A`, `B`, default `A`\n",
                "string, required, 1 to 9 characters, matches `^a`\n",
                "list of object, at most 3 elements\n",
                "integer, at least 1\n"
            ]
        );
    }
}
