use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Config, Environment},
    http::rows::MOST_TEXTS,
    predict::LONGEST_TEXT,
};

fn document(settings: &[(&str, &str)]) -> Value {
    document_of(Port::Public, settings)
}

fn document_of(port: Port, settings: &[(&str, &str)]) -> Value {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let app = Arc::new(App::new(Config::read(&settings.collect::<Environment>()).unwrap()));
    let document = complete(port.routes(&app).into_openapi(), &app, port);
    serde_json::to_value(document).unwrap()
}

/// One of each port, and of servers with other paths.
fn documents() -> Vec<Value> {
    let management = ("MLOPS_MANAGEMENT_PORT", "8081");
    vec![
        document(&[]),
        document(&[("MLOPS_DEBUG", "true")]),
        document(&[management]),
        document_of(Port::Management, &[management]),
        document_of(Port::Management, &[management, ("MLOPS_DEBUG", "true")]),
        document(&[("MLOPS_PROTOCOLS", "native")]),
        document(&[("MLOPS_PROTOCOLS", "oip,tei")]),
        document(&[("MLOPS_PROTOCOLS", "kserve")]),
        document(&[("MLOPS_PROTOCOLS", "vllm,tei,native"), ("MLOPS_DEBUG", "true")]),
    ]
}

/// Every operation with its method and path, as `POST /predict`.
fn each(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(m, o)| (path, m, o)));
    operations.map(|(path, method, operation)| (format!("{} {path}", method.to_uppercase()), operation)).collect()
}

/// Every `$ref` in a part of the document.
fn references<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    match part {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_operation_says_what_it_is() {
    documents().iter().for_each(says_what_it_is);
}

fn says_what_it_is(document: &Value) {
    let operations = each(document);
    let mut ids = Vec::new();
    for (name, operation) in &operations {
        ids.push(operation["operationId"].as_str().unwrap());
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        let tag = &operation["tags"][0];
        assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{name} has tag {tag}");
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "X-Correlation-ID"), "{name}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{name} {status}");
            assert!(response["headers"]["X-Correlation-ID"].is_object(), "{name} {status}");
            assert!(!response["content"].as_object().unwrap().is_empty(), "{name} {status} has no body");
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), operations.len(), "two operations have the same id");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    documents().iter().for_each(leads_somewhere);
}

fn leads_somewhere(document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in &found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}").as_str()), "nothing uses {name}");
    }
}

#[test]
fn the_bounds_are_those_that_are_checked() {
    let schema = |document: &Value, name: &str| document["components"]["schemas"][name].clone();
    let text = schema(&document(&[]), "Text");
    assert_eq!((&text["minLength"], &text["maxLength"]), (&json!(1), &json!(LONGEST_TEXT)));
    let text = schema(&document(&[("MLOPS_MAX_TEXT_LENGTH", "512")]), "Text");
    assert_eq!(text["maxLength"], 512);
    let texts = schema(&document(&[]), "BatchRequest")["properties"]["texts"].clone();
    assert_eq!((&texts["minItems"], &texts["maxItems"]), (&json!(1), &json!(MOST_TEXTS)));
    let name = schema(&document(&[("MLOPS_MODEL_NAME", "reviews")]), "ModelName");
    assert_eq!(name["enum"], json!(["reviews"]));
}

#[test]
fn errors_are_documented_by_their_codes() {
    let document = document(&[]);
    let codes = |name: &str, status: &str| {
        let found = each(&document);
        let (_, operation) = found.iter().find(|(known, _)| known == name).unwrap();
        let content = &operation["responses"][status]["content"]["application/json"];
        let codes: Vec<_> = content["examples"].as_object().unwrap().keys().cloned().collect();
        (content["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned(), codes.join(" "))
    };
    for (name, status, schema, expected) in [
        ("POST /api/v1/predict", "400", "Error", "E1002 E1004 E1006 E1013"),
        ("POST /api/v1/predict", "401", "Error", "E3002"),
        ("POST /api/v1/predict", "408", "Error", "E1010"),
        ("POST /api/v1/predict", "413", "Error", "E1005"),
        ("POST /api/v1/predict", "415", "Error", "E1011 E1012"),
        ("POST /api/v1/predict", "422", "Error", "E1001"),
        ("POST /api/v1/predict", "500", "Error", "E2002"),
        ("POST /api/v1/predict", "503", "Error", "E2001 E4002 E4003"),
        ("POST /api/v1/predict", "504", "Error", "E2003"),
        ("POST /api/v1/predict/batch", "422", "Error", "E1001"),
        ("POST /api/v1/batch/predict", "503", "Error", "E2001 E4002 E4003 E7004 E7005"),
        ("GET /api/v1/batch/results/{id}", "404", "Error", "E7001 E7002"),
        ("GET /api/v1/batch/results/{id}", "422", "Error", "E1001"),
        ("GET /api/v1/model-info", "503", "Error", "E4003"),
        ("DELETE /api/v1/batch/jobs/{id}", "404", "Error", "E7001 E7003"),
        ("GET /api/v1/ready", "503", "Error", "E4002"),
        ("POST /api/v1/explain", "400", "Error", "E1002 E1004 E1006 E1013"),
        ("POST /api/v1/explain", "503", "Error", "E2001 E4002 E4003"),
        ("POST /api/v1/feedback", "422", "Error", "E1001"),
        ("GET /api/v1/monitoring/drift", "404", "Error", "E8001"),
        ("POST /v2/models/{name}/infer", "400", "ProtocolError", "E1002 E1004 E1006 E1009 E1013"),
        ("POST /v2/models/{name}/infer", "401", "ProtocolError", "E3002"),
        ("POST /v2/models/{name}/infer", "415", "ProtocolError", "E1011 E1012"),
        ("POST /v2/models/{name}/infer", "404", "ProtocolError", "E1007"),
        ("POST /v1/models/{name}", "400", "KserveError", "E1002 E1004 E1006 E1009 E1013"),
        ("POST /predict", "504", "TeiError", "E2003"),
        ("POST /", "503", "TeiError", "E2001 E4002 E4003"),
        ("POST /classify", "401", "VllmError", "E3002"),
    ] {
        assert_eq!(codes(name, status), (schema.to_owned(), expected.to_owned()), "{name} {status}");
    }
}

#[test]
fn the_key_is_asked_for_where_one_is_set() {
    let open = document(&[]);
    let closed = document(&[("MLOPS_API_KEY", "s3cret")]);
    for ((name, without), (_, with)) in each(&open).into_iter().zip(each(&closed)) {
        let guarded = with["responses"]["401"].is_object();
        let (optional, required) =
            (json!([{}, { "ApiKey": [] }, { "Bearer": [] }]), json!([{ "ApiKey": [] }, { "Bearer": [] }]));
        let expected = if guarded { (&optional, &required) } else { (&Value::Null, &Value::Null) };
        assert_eq!((&without["security"], &with["security"]), expected, "{name}");
    }
    let bearer = &closed["components"]["securitySchemes"]["Bearer"];
    assert_eq!((&bearer["type"], &bearer["scheme"]), (&json!("http"), &json!("bearer")));
    let scheme = &closed["components"]["securitySchemes"]["ApiKey"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (&json!("apiKey"), &json!("header"), &json!("X-API-Key"))
    );
}

#[test]
fn limits_are_documented_where_there_are_some() {
    let limits = ("MLOPS_API_KEY_LIMITS", r#"[{"name":"*","concurrency":1}]"#);
    let document = document(&[("MLOPS_API_KEY", "s3cret"), limits]);
    for (name, operation) in each(&document) {
        let limited = &operation["responses"]["429"];
        assert_eq!(limited.is_object(), operation["responses"]["401"].is_object(), "{name}");
        if limited.is_object() {
            assert!(limited["headers"]["Retry-After"].is_object(), "{name}");
            assert!(limited["content"]["application/json"]["examples"]["E3003"].is_object(), "{name}");
        }
    }
}

#[test]
fn each_port_documents_what_it_has() {
    let paths = |document: &Value| document["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let alone = paths(&document(&[]));
    for path in ["/api/v1/metrics", "/metrics", "/api/v1/health/details", "/healthz", "/livez", "/readyz", "/ready"] {
        assert!(alone.iter().any(|known| known == path), "{path}");
    }
    let management = ("MLOPS_MANAGEMENT_PORT", "8081");
    let public = paths(&document(&[management]));
    let missing: Vec<_> = alone.iter().filter(|path| !public.contains(path)).collect();
    assert_eq!(missing, ["/api/v1/health/details", "/api/v1/metrics", "/metrics"]);
    let management = document_of(Port::Management, &[management, ("MLOPS_API_KEY", "s3cret")]);
    assert_eq!(
        paths(&management),
        [
            "/",
            "/api/v1/health",
            "/api/v1/health/details",
            "/api/v1/metrics",
            "/api/v1/model-info",
            "/api/v1/ready",
            "/health",
            "/healthz",
            "/livez",
            "/metrics",
            "/ready",
            "/readyz",
            "/v2/health/live",
            "/v2/health/ready",
        ]
    );
    assert!(each(&management).iter().all(|(_, operation)| operation["security"].is_null()));
    assert!(management["components"]["securitySchemes"].is_null());

    let plain = paths(&document(&[("MLOPS_TOP_LEVEL_PATHS", "false")]));
    let top: Vec<_> = alone.iter().filter(|path| !plain.contains(path)).collect();
    assert_eq!(top, ["/health", "/healthz", "/livez", "/metrics", "/ready", "/readyz"]);
}
