use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;

fn refused(body: &Value) -> String {
    let error = parse(&body.to_string(), 9).unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{error}");
    error.to_string()
}

fn body(shape: &Value, data: &Value) -> Value {
    json!({ "inputs": [{ "name": "text", "shape": shape, "datatype": "BYTES", "data": data }] })
}

#[test]
fn data_is_flat_or_nested() {
    for data in [json!(["a", " b "]), json!([["a"], ["b"]])] {
        let parsed = parse(&body(&json!([2, 1]), &data).to_string(), 9).unwrap();
        let texts: Vec<_> = parsed.texts.iter().map(|text| text.content.as_str()).collect();
        assert_eq!((texts, parsed.shape), (vec!["a", "b"], vec![2, 1]));
        assert_eq!(parsed.wanted, ["label", "score", "truncated"]);
    }
}

#[test]
fn what_it_does_not_know_is_left_alone() {
    let json = r#"{"id":"7","parameters":{"a":[1e999]},"outputs":[{"name":"score","parameters":{"binary_data":true}}],
        "inputs":[{"data":["a"],"shape":[1],"parameters":{},"datatype":"BYTES","name":"text"}]}"#;
    let parsed = parse(json, 9).unwrap();
    assert_eq!((parsed.id.as_deref(), parsed.wanted), (Some("7"), vec!["score"]));
    for nothing in [json!(null), json!([])] {
        let mut body = body(&json!([1]), &json!(["a"]));
        (body["outputs"], body["id"]) = (nothing, json!(null));
        let parsed = parse(&body.to_string(), 9).unwrap();
        assert_eq!((parsed.id, parsed.wanted.len()), (None, 3));
    }
}

#[test]
fn what_does_not_follow_the_protocol_is_refused_in_a_sentence() {
    let of = |field: &str, value: Value| {
        let mut body = body(&json!([1]), &json!(["a"]));
        body[field] = value;
        body
    };
    for (body, sentence) in [
        (body(&json!([3]), &json!(["a"])), "the shape [3] does not hold the 1 elements of the data"),
        (body(&json!([]), &json!(["a"])), "the shape [] does not hold the 1 elements of the data"),
        (body(&json!([u64::MAX, 2]), &json!(["a"])), "does not hold the 1 elements of the data"),
        (body(&json!([0]), &json!([])), "1 to 1000 texts are allowed, not 0"),
        (body(&json!([1001]), &json!(vec!["a"; 1001])), "1 to 1000 texts are allowed, not more"),
        (body(&json!(vec![1; 17]), &json!(["a"])), "the shape must be a list of 1 to 16 whole numbers from 0"),
        (body(&json!([-1]), &json!(["a"])), "the shape must be a list of 1 to 16 whole numbers from 0"),
        (body(&json!([2]), &json!(["a", 7])), "text 1: Input should be a valid string"),
        (body(&json!([2]), &json!([["a"], [null]])), "text 1: Input should be a valid string"),
        (body(&json!([2]), &json!(["a", " "])), "text 1: the text is empty"),
        (body(&json!([1]), &json!(["a".repeat(10)])), "text 0: the text has 10 characters, and at most 9 are"),
        (body(&json!([1]), &json!("a")), "the data must be a list of texts, flat or nested by shape"),
        (body(&json!([1]), &json!({ "a": "b" })), "the data must be a list of texts, flat or nested by shape"),
        (json!({ "inputs": [] }), "the model has 1 input, not 0"),
        (json!({ "inputs": [{}, {}] }), "the model has 1 input, not more"),
        (json!({ "inputs": "secret" }), "the inputs must be a list of one object"),
        (json!({ "inputs": ["secret"] }), "the inputs must be a list of one object"),
        (json!({ "inputs": [{}] }), "missing field `name`"),
        (json!({}), "missing field `inputs`"),
        (json!("secret"), "the body must be a JSON object"),
        (of("id", json!("é".repeat(257))), "the id may have 256 characters"),
        (of("id", json!(7)), "the id must be a string"),
        (
            of("outputs", json!([{ "name": "logits" }])),
            "the model has the outputs label, score and truncated, but no \"logits\"",
        ),
        (of("outputs", json!(vec![json!({ "name": "label" }); 4])), "the model has 3 outputs, not more"),
        (of("outputs", json!(["label"])), "the outputs must be a list of objects with a name"),
        (of("outputs", json!("label")), "the outputs must be a list of objects with a name"),
        (
            json!({ "inputs": [{ "name": "x".repeat(100), "shape": [1], "datatype": "INT64", "data": ["a"] }] }),
            &format!("the input is \"{}\"… of \"INT64\", but must be \"text\" of \"BYTES\"", "x".repeat(64)),
        ),
    ] {
        let found = refused(&body);
        assert!(found.starts_with(sentence) || found.ends_with(sentence), "{found} for {body}");
        assert!(!found.contains("secret"), "{found}");
    }
}

#[test]
fn nothing_is_read_behind_what_is_too_much() {
    let before = r#"{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":[["#;
    let error = parse(&format!("{before}{}\"a\" this is no JSON", "\"a\",".repeat(1000)), 9).unwrap_err();
    assert_eq!(error.to_string(), "1 to 1000 texts are allowed, not more");
}

#[test]
fn what_is_no_json_says_where() {
    assert_eq!(parse("{\"inputs\":x", 9).unwrap_err().to_string(), "expected value at line 1 column 11");
    let error = parse(&body(&json!([1]), &json!(["A"])).to_string().replace('A', r"\ud83d"), 9).unwrap_err();
    assert!(error.to_string().starts_with("text 0: "), "{error}");
}
