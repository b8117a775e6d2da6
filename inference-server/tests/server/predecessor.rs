//! KubeSentiment 1.5's users change an image name and nothing else: every row of its documented surface,
//! asked of the real programs.

mod facts;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use facts::Route;
use serde_json::Value;
use ureq::{Body, http::Response};

use crate::common::{self, Server, json};

const KEY: &str = "s3cret";

/// Calls a route and returns whatever it answers.
fn call(server: &Server, method: &str, path: &str, body: &str, key: Option<&str>) -> Response<Body> {
    let url = if path == "/" { format!("http://{}/", server.address) } else { server.url(path) };
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    if body.is_empty() {
        server.agent.run(request.body(()).unwrap()).unwrap()
    } else {
        let request = request.header("Content-Type", "application/json");
        server.agent.run(request.body(body.to_owned()).unwrap()).unwrap()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Checks `field:type` and `field=value` against an answer.
fn assert_answer(route: &Route, answer: &Value) {
    for expected in route.answer.split_whitespace() {
        let (field, separator) =
            expected.split_once([':', '=']).map(|(field, _)| (field, &expected[field.len()..])).unwrap();
        let found = answer.pointer(&format!("/{}", field.replace('.', "/")));
        let found = found.unwrap_or_else(|| panic!("{} {} has no {field}: {answer}", route.method, route.path));
        let text = found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned);
        let fits = match separator.split_at(1) {
            (":", type_name) => type_name.split('|').any(|name| name == kind(found)),
            (_, value) => text == value,
        };
        assert!(fits, "{} {}: {field} is {found}, not {expected}", route.method, route.path);
    }
}

#[test]
fn routes_answers_and_headers() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY)]);
    let document = json(&mut server.get("/openapi.json"));
    let mut job = String::new();
    for route in facts::ROUTES {
        let key = (!route.open).then_some(KEY);
        if route.path.contains("{job}") {
            wait_for(&server, &job);
        }
        let mut response = call(&server, route.method, &route.path.replace("{job}", &job), route.body, key);
        assert_eq!(response.status(), route.status, "{} {}", route.method, route.path);
        for header in route.headers {
            assert!(response.headers().contains_key(*header), "{} {} has no {header}", route.method, route.path);
        }
        if !route.answer.is_empty() {
            let answer = json(&mut response);
            assert_answer(route, &answer);
            if let (true, Some(id)) = (route.method == "POST", answer["job_id"].as_str()) {
                id.clone_into(&mut job);
            }
        }
        assert_documented(&document, route);
    }
    let echoed = server.agent.get(server.url("/health")).header("X-Correlation-ID", "order-4711").call().unwrap();
    assert_eq!(echoed.headers()["x-correlation-id"], "order-4711");
}

fn assert_documented(document: &Value, route: &Route) {
    let path = route.path.split('?').next().unwrap().replace("{job}", "{id}");
    let path = if path == "/" { path } else { format!("/api/v1{path}") };
    let operation = &document["paths"][&path][route.method.to_lowercase()];
    assert!(operation["responses"][route.status.to_string()].is_object(), "{path} is not in the document");
}

/// Returns when a job has ended.
fn wait_for(server: &Server, job: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let path = format!("/batch/status/{job}");
    loop {
        let status = json(&mut call(server, "GET", &path, "", Some(KEY)))["status"].as_str().unwrap().to_owned();
        if !["pending", "processing"].contains(&status.as_str()) {
            return;
        }
        assert!(Instant::now() < deadline, "{job} is still {status}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_job_can_be_taken_back() {
    let server = Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_THREADS", "1")]);
    // Enough texts, all different, to be still at work when the next request comes.
    let texts: Vec<_> = (0..1000).map(|number| format!("{number} words that go on and on and on")).collect();
    let body = serde_json::json!({ "texts": texts }).to_string();
    let job =
        json(&mut call(&server, "POST", "/batch/predict", &body, Some(KEY)))["job_id"].as_str().unwrap().to_owned();
    let route = &facts::CANCEL;
    let mut response = call(&server, route.method, &route.path.replace("{job}", &job), route.body, Some(KEY));
    assert_eq!(response.status(), route.status);
    assert_answer(route, &json(&mut response));
    let state = json(&mut call(&server, "GET", &format!("/batch/status/{job}"), "", Some(KEY)));
    assert_eq!(state["status"], "cancelled");
    assert_documented(&json(&mut server.get("/openapi.json")), route);
}

#[test]
fn errors_have_one_flat_shape() {
    // Its default for the length.
    let server = Server::start(&[("MLOPS_API_KEY", KEY), ("MLOPS_MAX_TEXT_LENGTH", "512")]);
    let assert_error = |mut response: Response<Body>, what: &str, status: u16, code: &str| {
        assert_eq!(response.status(), status, "{what}");
        let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        let body = json(&mut response);
        assert!(body["error_code"].as_str().unwrap().starts_with(code), "{what}: {body}");
        assert!(body["error_message"].is_string() && body["detail"].is_string() && body["timestamp"].is_f64());
        assert_eq!(body["correlation_id"], id.as_str(), "{what}");
        assert_eq!(body.get("validation_errors").is_some(), status == 422, "{what}: {body}");
        for problem in body["validation_errors"].as_array().into_iter().flatten() {
            assert!(problem["loc"].is_array() && problem["msg"].is_string() && problem["type"].is_string(), "{body}");
        }
    };
    for (method, path, body, status, code) in facts::FAILURES {
        let of_length = body.strip_suffix(" characters").map(|length| "a".repeat(length.parse().unwrap()));
        let body = of_length.map_or_else(|| (*body).to_owned(), |text| serde_json::json!({ "text": text }).to_string());
        assert_error(call(&server, method, path, &body, Some(KEY)), &format!("{method} {path}"), *status, code);
    }
    for (method, path) in facts::KEYED {
        let body = if *method == "POST" { "{}" } else { "" };
        for key in [None, Some("wrong")] {
            assert_error(call(&server, method, path, body, key), &format!("{method} {path} with {key:?}"), 401, "E3");
        }
    }
}

/// What `--print-config` says of a variable, or the sentence with which the start ends.
fn in_force(name: &str, set: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentiment-server"));
    let output = command.env_clear().envs(set.iter().copied()).arg("--print-config").output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap());
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    let start = format!("{name}=");
    let line = printed.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("{name} is not in\n{printed}"));
    let (value, _origin) = line[start.len()..].rsplit_once(" # ").unwrap();
    Ok(value.trim().to_owned())
}

#[test]
fn variables_defaults_and_what_they_take() {
    for (name, default, other, refused) in facts::VARIABLES {
        let name = format!("MLOPS_{name}");
        assert_eq!(in_force(&name, &[]).unwrap(), *default, "default of {name}");
        let found = in_force(&name, &[(&name, other)]).unwrap();
        let masked = name.ends_with("KEY") || name.ends_with("PASSWORD");
        assert_eq!(found, if masked { "***" } else { other }, "{name}={other}");
        if !refused.is_empty() {
            // --print-config shows wrong values too, so this is a start. It ends without a model in any case.
            let mut command = common::command(&[("MLOPS_ONNX_MODEL_PATH", "/nonexistent")]);
            if name.starts_with("MLOPS_REDIS_") {
                command.env("MLOPS_REDIS_ENABLED", "true");
            }
            let output = command.env(&name, refused).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{name}={refused}");
            let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(&name) && said.contains("must be"), "{name}={refused}: {said}");
        }
    }
}

#[test]
fn the_redis_host_is_read_without_the_prefix_and_the_prefixed_one_wins() {
    let prefixed = format!("MLOPS_{}", facts::UNPREFIXED);
    assert_eq!(in_force(&prefixed, &[(facts::UNPREFIXED, "a")]).unwrap(), "a");
    assert_eq!(in_force(&prefixed, &[(facts::UNPREFIXED, "a"), (&prefixed, "b")]).unwrap(), "b");
}

#[test]
fn variables_that_are_gone_are_named_and_do_no_harm() {
    let server = Server::start(facts::RETIRED);
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
    // This start ends for another reason, with all that it had to say.
    let output = common::command(facts::RETIRED).env("MLOPS_ONNX_MODEL_PATH", "/nonexistent").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for (name, _) in facts::RETIRED {
        let line = said.lines().find(|line| line.contains(name) && line.contains("has no effect"));
        assert!(line.is_some(), "{name} is not named in\n{said}");
    }
}

#[test]
fn series_can_be_turned_off() {
    let server = Server::start(&[("MLOPS_ENABLE_METRICS", "false")]);
    assert_eq!(server.get("/metrics").status(), 404);
    assert!(json(&mut server.get("/openapi.json"))["paths"].get("/api/v1/metrics").is_none());
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
}

#[test]
fn series_and_their_labels() {
    let server = Server::start(&[]);
    server.predict("count me");
    let scrape = server.scrape();
    for (name, labels) in facts::SERIES {
        let line = scrape.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in\n{scrape}"));
        for label in *labels {
            assert!(line.contains(&format!("{label}=\"")), "{line} has no {label}");
        }
    }
}

#[test]
fn model_files_in_their_order() {
    let source = common::fixture("three-labels");
    for (index, expected) in facts::MODEL_FILES.iter().enumerate() {
        let folder = common::Folder::new(&format!("order-{index}"));
        for name in ["config.json", "tokenizer.json"] {
            fs::copy(source.join(name), folder.file(name)).unwrap();
        }
        for name in &facts::MODEL_FILES[index..] {
            fs::copy(source.join("model.onnx"), folder.file(name)).unwrap();
        }
        let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap())]);
        assert_eq!(json(&mut server.get("/model-info"))["model_file"], *expected);
    }
}

#[test]
fn flags_of_the_health_check_program() {
    let run = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthcheck"));
        command.env_clear().envs(variables.iter().copied()).args(flags).output().unwrap()
    };
    let help = String::from_utf8(run(&[], &["--help"]).stdout).unwrap();
    for (flag, variable, default) in facts::HEALTHCHECK {
        let line = help.lines().find(|line| line.contains(flag)).unwrap_or_else(|| panic!("{flag} is not in\n{help}"));
        assert!(line.contains(&format!("{variable}=")), "{line} does not name {variable}");
        assert!(line.contains(&format!("[default: {default}]")), "{line} does not name {default}");
    }
    assert!(help.contains("--verbose"), "{help}");

    let server = Server::start(&[]);
    let port = server.address.rsplit_once(':').unwrap().1;
    let path = "/api/v1/health";
    assert_eq!(run(&[], &["--port", port, "--path", path]).status.code(), Some(0));
    assert_eq!(run(&[("HEALTHCHECK_PORT", port), ("HEALTHCHECK_PATH", path)], &[]).status.code(), Some(0));
    assert_eq!(run(&[("HEALTHCHECK_PORT", port)], &["--path", "/nothing"]).status.code(), Some(1));
}
