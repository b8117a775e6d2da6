use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::open_inference::Output;

fn parse(json: &str, longest: usize) -> Result<Parsed, ApiError> {
    super::parse(json, &[], longest)
}

fn names(parsed: &Parsed) -> Vec<&'static str> {
    parsed.wanted.iter().map(|wanted| wanted.output.name()).collect()
}

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
        assert_eq!(names(&parsed), ["label", "score", "truncated"]);
        assert_eq!((texts, parsed.shape), (vec!["a", "b"], vec![2, 1]));
    }
}

#[test]
fn what_it_does_not_know_is_left_alone() {
    let json = r#"{"id":"7","parameters":{"a":[1e999]},"outputs":[{"name":"score","parameters":{"binary_data":true}}],
        "inputs":[{"data":["a"],"shape":[1],"parameters":null,"datatype":"BYTES","name":"args"}]}"#;
    let parsed = parse(json, 9).unwrap();
    assert_eq!((parsed.id.as_deref(), names(&parsed)), (Some("7"), vec!["score"]));
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
    let with = |name: &str, parameters: Value| of("outputs", json!([{ "name": name, "parameters": parameters }]));
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
            of("outputs", json!([{ "name": "embedding" }])),
            "the model has the outputs label, score, truncated, probabilities, logits, but no \"embedding\"",
        ),
        (of("outputs", json!(vec![json!({ "name": "label" }); 6])), "the model has 5 outputs, not more"),
        (with("label", json!({ "binary_data": 1 })), "binary_data must be true or false"),
        (with("logits", json!({ "classification": -1 })), "classification must be a number of classes"),
        (with("score", json!({ "classification": 1 })), "classification is of probabilities or logits, not of score"),
        (of("parameters", json!([])), "parameters must be an object"),
        (with("label", json!(7)), "parameters must be an object"),
        (of("parameters", json!({ "binary_data_output": "yes" })), "binary_data_output must be true or false"),
        (of("outputs", json!(["label"])), "the outputs must be a list of objects with a name"),
        (of("outputs", json!("label")), "the outputs must be a list of objects with a name"),
        (
            json!({ "inputs": [{ "name": "x".repeat(100), "shape": [1], "datatype": "INT64", "data": ["a"] }] }),
            &format!("the input \"{}\"… is of \"INT64\", but must be of \"BYTES\"", "x".repeat(64)),
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

#[test]
fn a_tensor_follows_the_json_where_its_size_is_said() {
    let body = |data: Option<Value>, size: Value| {
        let parameters = json!({ "binary_data_size": size });
        let mut input = json!({ "name": "text", "shape": [2], "datatype": "BYTES", "parameters": parameters });
        if let Some(data) = data {
            input["data"] = data;
        }
        json!({ "inputs": [input] }).to_string()
    };
    let tensor = b"\x01\0\0\0a\x02\0\0\0bc";
    let parsed = super::parse(&body(None, json!(11)), tensor, 9).unwrap();
    assert_eq!(parsed.texts.iter().map(|text| text.content.as_str()).collect::<Vec<_>>(), ["a", "bc"]);
    for (body, tensor, sentence) in [
        (body(None, json!(12)), &tensor[..], "binary_data_size is 12, but 11 bytes follow the JSON"),
        (body(None, json!(11)), b"", "binary_data_size is 11, but 0 bytes follow the JSON"),
        (body(None, json!("11")), tensor, "binary_data_size must be a number of bytes"),
        (body(Some(json!(["a", "b"])), json!(11)), tensor, "the input has both data and binary_data_size"),
        (body(None, json!(5)), &tensor[..5], "the shape [2] does not hold the 1 elements of the data"),
        (body(None, json!(null)), tensor, "11 bytes follow the JSON, but the input has no parameter binary_data_size"),
    ] {
        let error = super::parse(&body, tensor, 9).unwrap_err().to_string();
        assert!(error.starts_with(sentence), "{error}");
    }
}

#[test]
fn outputs_are_binary_where_they_or_the_request_say_so() {
    let wanted = |parameters: Value, outputs: Value| {
        let mut body = body(&json!([1]), &json!(["a"]));
        (body["parameters"], body["outputs"]) = (parameters, outputs);
        parse(&body.to_string(), 9).unwrap().wanted
    };
    let all = json!({ "binary_data_output": true });
    assert!(wanted(all.clone(), json!(null)).iter().all(|wanted| wanted.in_binary));
    let some = json!([{ "name": "score", "parameters": { "binary_data": false } }, { "name": "label" }]);
    let found: Vec<_> = wanted(all, some).iter().map(|wanted| (wanted.output, wanted.in_binary)).collect();
    assert_eq!(found, [(Output::Score, false), (Output::Label, true)]);
    let classes = json!([{ "name": "logits", "parameters": { "binary_data": true, "classification": 2 } }]);
    assert_eq!(wanted(json!(null), classes), [Wanted { output: Output::Logits, in_binary: true, classes: Some(2) }]);
}
