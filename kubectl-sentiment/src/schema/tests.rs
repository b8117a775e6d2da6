#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use std::collections::BTreeSet;

use kubesentiment_operator::api::crd;
use serde_json::{Value, json};

use super::*;

fn said(schema: Value, value: Value) -> Vec<String> {
    faults(&schema, &value, "a").into_iter().map(|fault| format!("{}: {}", fault.path, fault.sentence)).collect()
}

#[test]
fn each_keyword_refuses_in_the_words_of_the_api_server() {
    let texts = |more: Value| {
        let mut schema = json!({"type": "string"});
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    };
    let cases = [
        (
            json!({"type": "integer"}),
            json!("two"),
            "a: Invalid value: \"string\": a in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            "a: Invalid value: \"number\": a in body must be of type integer: \"number\"",
        ),
        (
            json!({"type": "string"}),
            json!(null),
            "a: Invalid value: \"null\": a in body must be of type string: \"null\"",
        ),
        (
            json!({"type": "integer", "minimum": 1.0}),
            json!(0),
            "a: Invalid value: 0: a in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "number", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "a: Invalid value: 1: a in body should be greater than 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2),
            "a: Invalid value: 2: a in body should be less than or equal to 1.5",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_u64),
            "a: Invalid value: 3000000000: a in body must be of type int32",
        ),
        (texts(json!({"enum": ["x", "y"]})), json!("z"), "a: Unsupported value: \"z\": supported values: \"x\", \"y\""),
        (
            texts(json!({"minLength": 2})),
            json!("é"),
            "a: Invalid value: \"é\": a in body should be at least 2 chars long",
        ),
        (texts(json!({"maxLength": 1})), json!("xy"), "a: Too long: may not be more than 1 bytes"),
        (texts(json!({"pattern": r"^\w+$"})), json!("é"), "a: Invalid value: \"é\": a in body should match '^\\w+$'"),
        (
            texts(json!({"format": "date-time"})),
            json!("x"),
            "a: Invalid value: \"x\": a in body must be of type date-time: \"x\"",
        ),
        (json!({"type": "array", "maxItems": 1}), json!([1, 2]), "a: Too many: 2: must have at most 1 items"),
        (
            json!({"type": "array", "minItems": 1}),
            json!([]),
            "a: Invalid value: 0: a in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "object", "required": ["n"]}}),
            json!([{}]),
            "a[0].n: Required value",
        ),
        (json!({"type": "array", "x-kubernetes-list-type": "set"}), json!(["x", "x"]), "a[1]: Duplicate value: \"x\""),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}),
            json!([{"n": 1, "v": 2}, {"n": 1}]),
            "a[1]: Duplicate value: {\"n\":1}",
        ),
        (json!({"type": "object"}), json!({"b": 1}), "a.b: unknown field \"a.b\""),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"b": "", "c": ""}),
            "a: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "a: Invalid value: \"boolean\": a in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}),
            json!(3),
            "a: Invalid value: 3: a in body must validate at least one schema (anyOf)",
        ),
        (
            json!({"type": "integer", "allOf": [{"minimum": 5}]}),
            json!(3),
            "a: Invalid value: 3: a in body should be greater than or equal to 5",
        ),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(said(schema.clone(), value.clone()), [expected], "{schema} {value}");
    }
}

#[test]
fn what_is_right_passes() {
    for (schema, value) in [
        (json!({"type": "integer", "nullable": true}), json!(null)),
        (json!({"type": "integer", "format": "int32"}), json!(2.0)),
        (json!({"type": "number"}), json!(1)),
        (json!({"x-kubernetes-int-or-string": true, "pattern": "^x$", "maxLength": 1}), json!(12)),
        (json!({"type": "object", "properties": {"n": {"type": "integer"}}}), json!({"n": 1})),
        (json!({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}), json!({"n": null})),
        (json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), json!({"n": {"m": []}})),
        (
            json!({"type": "object", "properties": {"n": {"type": "integer"}}, "anyOf": [{"required": ["n"]}]}),
            json!({"n": 1}),
        ),
        (json!({"type": "string", "pattern": r"^[^/\s]+$"}), json!("é")),
    ] {
        assert_eq!(said(schema.clone(), value.clone()), [""; 0], "{schema} {value}");
    }
}

#[test]
fn what_is_not_understood_is_told() {
    for (schema, value) in [
        (json!({"type": "integer", "multipleOf": 2}), json!(3)),
        (json!({"type": "string", "not": {"enum": ["x"]}}), json!("x")),
        (json!({"type": "string", "format": "hostname"}), json!("x")),
        (json!({"type": "string", "pattern": r"^\p{L}$"}), json!("x")),
        (json!({"type": "string", "pattern": "("}), json!("x")),
        (json!(true), json!("x")),
    ] {
        let said = said(schema.clone(), value);
        assert!(said.len() == 1 && said[0].contains("understood here"), "{schema}: {said:?}");
    }
}

/// Else users would be told that the schema isn't understood.
#[test]
fn the_definition_has_nothing_that_is_not_understood() {
    fn walk(schema: &Value, unknown: &mut BTreeSet<String>) {
        let fields = schema.as_object().unwrap();
        unknown.extend(fields.keys().filter(|keyword| !KNOWN.contains(&keyword.as_str())).cloned());
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
            && let Err(error) = Pattern::new(pattern)
        {
            unknown.insert(format!("{pattern}: {error}"));
        }
        if let Some(format) = fields.get("format").and_then(Value::as_str)
            && value::has_format("", format).or(value::fits(&json!(1), format)).is_none()
        {
            unknown.insert(format.to_owned());
        }
        let properties = fields.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let branches = ["anyOf", "allOf"].iter().filter_map(|name| fields.get(*name)?.as_array()).flatten();
        let others = ["items", "additionalProperties"].iter().filter_map(|name| fields.get(*name));
        properties
            .chain(branches)
            .chain(others.filter(|schema| schema.is_object()))
            .for_each(|below| walk(below, unknown));
    }
    let schema = crd().spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
    let mut unknown = BTreeSet::new();
    walk(&serde_json::to_value(schema).unwrap(), &mut unknown);
    assert_eq!(unknown, BTreeSet::new());
}
