use super::*;
use crate::{
    config::{Config, Environment},
    http::{App, Port, docs},
};

fn routes(port: Port, settings: &[(&str, &str)]) -> Routes {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let app = Arc::new(App::new(Config::read(&settings.collect::<Environment>()).unwrap()));
    let pages = docs::paths(&app);
    Routes::of(&port.routes(&app).into_openapi(), pages.iter().map(String::as_str))
}

fn meant(routes: &Routes, method: &Method, path: &str) -> String {
    let said = routes.explain(method, path);
    let near = said.split_once("did you mean ").map_or("", |(_, near)| near);
    near.trim_end_matches('?').to_owned()
}

#[test]
fn the_route_that_was_meant_is_named() {
    let routes = routes(Port::Public, &[("MLOPS_PROTOCOLS", "native,oip")]);
    for (method, path, near) in [
        (Method::POST, "/api/v1/predictt", "POST /api/v1/predict"),
        (Method::GET, "/api/v1/predictt", "POST /api/v1/predict"),
        (Method::POST, "/predict", "POST /api/v1/predict"),
        (Method::POST, "/predict/", "POST /api/v1/predict"),
        (Method::POST, "/Predict", "POST /api/v1/predict"),
        (Method::POST, "/api/v2/predict", "POST /api/v1/predict"),
        (Method::POST, "/sentiment/api/v1/predict", "POST /api/v1/predict"),
        (Method::POST, "/api/v1/predictions", "POST /api/v1/predict"),
        (Method::POST, "//api//v1/predict/batch/", "POST /api/v1/predict/batch"),
        (Method::POST, "/predict/batch", "POST /api/v1/predict/batch"),
        (Method::GET, "/api/v1/health/", "GET /api/v1/health"),
        (Method::GET, "/healthcheck", "GET /health"),
        (Method::GET, "/api/v1/helth", "GET /api/v1/health"),
        (Method::GET, "/model-info", "GET /api/v1/model-info"),
        (Method::GET, "/openapi.json", "GET /api/v1/openapi.json"),
        (Method::GET, "/doc", "GET /docs"),
        (Method::GET, "/batch/status/7", "GET /api/v1/batch/status/{id}"),
        (Method::DELETE, "/api/v1/batch/job/7", "DELETE /api/v1/batch/jobs/{id}"),
        (Method::POST, "/v1/models/x:predict", "POST /v2/models/{name}/infer"),
        (Method::POST, "/v2/models/x/infer/", "POST /v2/models/{name}/infer"),
        (Method::POST, "/v2/models/x/version/1/infer", "POST /v2/models/{name}/versions/{version}/infer"),
        (Method::GET, "/nothing", ""),
        (Method::GET, "/favicon.ico", ""),
        (Method::GET, "/.env", ""),
        (Method::GET, "*", ""),
    ] {
        assert_eq!(meant(&routes, &method, path), near, "{path}");
    }
    assert_eq!(
        routes.explain(&Method::POST, "/api/v1/predictt"),
        "there is nothing at /api/v1/predictt; did you mean POST /api/v1/predict?"
    );
    assert_eq!(routes.explain(&Method::GET, "/nothing"), "there is nothing at /nothing");
    let protocol = routes.explain(&Method::POST, "/v1/models/x:predict");
    assert!(protocol.contains("the Open Inference Protocol is spoken in version 2"), "{protocol}");
}

#[test]
fn without_a_prefix_the_paths_that_have_one_are_told() {
    let routes = routes(Port::Public, &[("MLOPS_DEBUG", "true")]);
    assert_eq!(meant(&routes, &Method::POST, "/api/v1/predict"), "POST /predict");
    assert_eq!(meant(&routes, &Method::GET, "/api/v1/health"), "GET /health");
}

#[test]
fn each_port_says_which_has_what_it_has_not() {
    let settings = [("MLOPS_MANAGEMENT_PORT", "8081")];
    let public = routes(Port::Public, &settings).with_other(8081, routes(Port::Management, &settings));
    for path in ["/metrics", "/api/v1/metrics", "/api/v1/health/details"] {
        assert_eq!(
            public.explain(&Method::GET, path),
            format!("there is nothing at {path} on this port: MLOPS_MANAGEMENT_PORT is set, and port 8081 has it")
        );
    }
    let management = routes(Port::Management, &settings).with_other(8000, routes(Port::Public, &settings));
    assert!(management.explain(&Method::POST, "/api/v1/predict").ends_with("port 8000 has it"));
    assert_eq!(meant(&management, &Method::GET, "/api/v1/metric"), "GET /api/v1/metrics");
}

#[test]
fn a_path_is_shown_in_part_and_without_bytes_that_are_not_printed() {
    let routes = routes(Port::Public, &[]);
    let long = format!("/{}", "a".repeat(10_000));
    let said = routes.explain(&Method::GET, &long);
    assert!(said.len() < 200 && said.ends_with("aaa…"), "{said}");
    let said = routes.explain(&Method::GET, "/\u{1b}[2Jé\u{202e}");
    assert_eq!(said, "there is nothing at /?[2J??");
    assert!(routes.explain(&Method::GET, &format!("/{}", "é".repeat(200))).ends_with("??…"));
}
