//! The HTTP API against the real model and the real ONNX Runtime.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::common::{self, Server, json};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn assert_error(mut response: ureq::http::Response<ureq::Body>, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status);
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let body = json(&mut response);
    assert_eq!(body["error_code"], code, "{body}");
    assert_eq!(body["correlation_id"], id.as_str());
    assert!(body["timestamp"].is_f64());
    let mut expected = vec!["error_code", "error_message", "detail", "correlation_id", "timestamp"];
    if status == 422 {
        expected.push("validation_errors");
    }
    let mut found = keys(&body);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    body
}

#[test]
fn plain_sentences_are_read_right() {
    let server = Server::start(&[]);
    for (text, label) in [
        ("I love this product", "POSITIVE"),
        ("Terrible support, I want my money back", "NEGATIVE"),
        ("What a wonderful, heartwarming evening.", "POSITIVE"),
        ("It broke after two days and nobody answers.", "NEGATIVE"),
    ] {
        let body = server.predict(text);
        assert_eq!(body["label"], label, "{text}");
        assert!(body["score"].as_f64().unwrap() > 0.5);
    }
}

#[test]
fn a_prediction_has_the_documented_shape_and_headers() {
    let server = Server::start(&[]);
    let body = json!({ "text": "  I love this product \n", "unknown": true }).to_string();
    let request = server.agent.post(server.url("/predict")).header("X-Correlation-ID", "abc-123");
    let mut response = request.send(&body).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-correlation-id"], "abc-123");
    assert_eq!(response.headers()["x-model-backend"], "onnx");
    let header: f64 = response.headers()["x-inference-time-ms"].to_str().unwrap().parse().unwrap();
    let body = json(&mut response);
    let mut found = keys(&body);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "backend",
            "cached",
            "features",
            "inference_time_ms",
            "label",
            "model_name",
            "prediction_id",
            "score",
            "text_length",
            "truncated",
        ]
    );
    assert_eq!(body["text_length"], 19);
    assert_eq!(body["inference_time_ms"], header);
    assert_eq!(body["features"], Value::Null);
    assert_eq!(body["model_name"], "default");
    let id = body["prediction_id"].as_str().unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id} is not a version 4 UUID");
}

#[test]
fn a_batch_is_answered_in_order_and_as_if_one_by_one() {
    let server = Server::start(&[("MLOPS_QUEUE_CAPACITY", "16")]);
    let texts: Vec<String> = (0..300)
        .map(|index| if index % 3 == 0 { format!("I love number {index}") } else { format!("Number {index} is awful") })
        .collect();
    let mut response = server.post("/predict/batch", &json!({ "texts": texts }).to_string());
    assert_eq!(response.status(), 200);
    let body = json(&mut response);
    assert_eq!(body["total_results"], 300);
    for (index, (text, result)) in texts.iter().zip(body["results"].as_array().unwrap()).enumerate() {
        assert_eq!(result["label"], if index % 3 == 0 { "POSITIVE" } else { "NEGATIVE" }, "{text}");
        assert_eq!(result["text_length"], text.len());
        assert!(result["prediction_id"].is_string() && result["inference_time_ms"].is_f64());
    }
    let again = server.predict(&texts[0]);
    assert_eq!((&again["score"], &again["cached"]), (&body["results"][0]["score"], &json!(true)));
    let alone = Server::start(&[]).predict(&texts[0])["score"].as_f64().unwrap();
    // Alone it goes through the model's own nodes, whose rounding is another.
    assert!((body["results"][0]["score"].as_f64().unwrap() - alone).abs() < 0.05);

    let problems = assert_error(server.post("/predict/batch", r#"{"texts":[7,""]}"#), 422, "E1001");
    assert_eq!(problems["validation_errors"][1]["loc"], json!(["body", "texts", 1]));
    let long = json!({ "texts": ["a".repeat(10_001)] }).to_string();
    assert_error(server.post("/predict/batch", &long), 422, "E1001");
}

#[test]
fn a_bad_row_of_a_batch_has_an_error_and_the_others_their_answers() {
    let server = Server::start(&[("MLOPS_MAX_TEXT_LENGTH", "512")]);
    let texts = json!(["I love this product", "", null, "a".repeat(513), "\u{200b}", "It is awful"]);
    let mut response = server.post("/predict/batch", &json!({ "texts": texts }).to_string());
    assert_eq!(response.status(), 200);
    let body = json(&mut response);
    assert_eq!((&body["total_results"], &body["failed_results"]), (&json!(6), &json!(4)));
    let found: Vec<_> = body["results"].as_array().unwrap().iter().collect();
    let labels: Vec<_> = found.iter().map(|result| result["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["POSITIVE", "ERROR", "ERROR", "ERROR", "ERROR", "NEGATIVE"]);
    for (index, code, length) in [(1, "E1001", 0), (2, "E1001", 0), (3, "E1002", 513), (4, "E1004", 1)] {
        let result = found[index];
        assert_eq!((&result["index"], &result["error_code"]), (&json!(index), &json!(code)), "{result}");
        assert_eq!((&result["score"], &result["text_length"]), (&json!(0.0), &json!(length)), "{result}");
        assert!(!result["error"].as_str().unwrap().is_empty(), "{result}");
    }
    assert!(found[0].get("index").is_none() && found[0].get("error").is_none(), "{}", found[0]);
    // Where there is no good one, the request is as bad as its texts.
    assert_error(server.post("/predict/batch", &json!({ "texts": ["\u{200b}", "\u{ad}"] }).to_string()), 400, "E1004");

    let infer = |texts: &Value| {
        let input = json!({ "name": "text", "shape": [3], "datatype": "BYTES", "data": texts });
        let url = format!("http://{}/v2/models/default/infer", server.address);
        let mut response = server.agent.post(url).send(json!({ "inputs": [input] }).to_string()).unwrap();
        (response.status().as_u16(), json(&mut response)["error"].as_str().unwrap().to_owned())
    };
    for (bad, sentence) in [("\u{200b}", "text 1: "), (&"a".repeat(513), "text 1: the text has 513 characters")] {
        let (status, error) = infer(&json!(["good", bad, "bad"]));
        assert_eq!((status, error.starts_with(sentence)), (400, true), "{error}");
    }
}

#[test]
fn clients_of_other_servers_are_told_what_is_wanted() {
    let server = Server::start(&[]);
    let body = assert_error(server.post("/predict", r#"{"inputs":"I love this product"}"#), 422, "E1001");
    assert_eq!(body["detail"], r#"Field required: it is called "text" here, not "inputs""#);
    let body = assert_error(server.post("/predict/batch", r#"{"instances":["a"]}"#), 422, "E1001");
    assert_eq!(body["detail"], r#"Field required: it is called "texts" here, not "instances""#);
}

#[test]
fn batches_leave_room_for_single_texts() {
    let server = Server::start(&[("MLOPS_QUEUE_CAPACITY", "8"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    let body = json!({ "texts": vec!["It goes on and on"; 200] }).to_string();
    thread::scope(|scope| {
        // As many as are handled at once, each with more texts than the queue has places.
        let batches: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.post("/predict/batch", &body).status().as_u16())).collect();
        while batches.iter().any(|batch| !batch.is_finished()) {
            assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
        }
        assert!(batches.into_iter().all(|batch| batch.join().unwrap() == 200));
    });
}

#[test]
fn a_text_that_comes_again_is_answered_from_the_cache() {
    let server = Server::start(&[("MLOPS_PREDICTION_CACHE_MAX_SIZE", "5")]);
    let first = server.predict("I love this product");
    // The same text once it is stripped.
    let second = server.predict(" I love this product\n");
    assert_eq!((&first["cached"], &second["cached"]), (&json!(false), &json!(true)));
    assert_eq!((&first["label"], &first["score"]), (&second["label"], &second["score"]));
    assert_eq!(second["inference_time_ms"], 0.0);
    assert_ne!(first["prediction_id"], second["prediction_id"]);
    let info = json(&mut server.get("/model-info"));
    let cache = [&info["cache_enabled"], &info["cache_size"], &info["cache_maxsize"]];
    assert_eq!(cache, [&json!(true), &json!(1), &json!(5)]);
    let metrics = server.scrape();
    for line in ["sentiment_cache_hits_total 1", "sentiment_cache_misses_total 1", "sentiment_prediction_score_count 2"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    let server = Server::start(&[("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    server.predict("I love this product");
    assert_eq!(server.predict("I love this product")["cached"], false);
    assert_eq!(json(&mut server.get("/model-info"))["cache_enabled"], false);
}

#[test]
fn the_open_inference_protocol() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret"), ("MLOPS_MODEL_NAME", "reviews")]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    let get = |path: &str| server.agent.get(url(path)).header("X-API-Key", "s3cret").call().unwrap();
    let infer = |body: &Value| {
        let request = server.agent.post(url("/v2/models/reviews/infer")).header("X-API-Key", "s3cret");
        request.send(body.to_string()).unwrap()
    };
    assert_eq!(json(&mut get("/v2"))["name"], "KubeSentiment");
    for path in ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/reviews/ready"] {
        assert_eq!(server.agent.get(url(path)).call().unwrap().status(), 200, "{path} asks for a key");
    }
    let model = json(&mut get("/v2/models/reviews"));
    assert_eq!(model["inputs"], json!([{ "name": "text", "datatype": "BYTES", "shape": [-1] }]));
    assert_eq!(model["outputs"][1], json!({ "name": "score", "datatype": "FP32", "shape": [-1] }));
    assert_eq!(model["outputs"][2], json!({ "name": "truncated", "datatype": "BOOL", "shape": [-1] }));

    let texts = json!(["I love this product", "It is awful"]);
    let input = json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": texts });
    let mut response = infer(&json!({ "id": "seven", "inputs": [input] }));
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-correlation-id"));
    let body = json(&mut response);
    assert_eq!((&body["id"], &body["model_name"]), (&json!("seven"), &json!("reviews")));
    let label = json!({ "name": "label", "shape": [2], "datatype": "BYTES", "data": ["POSITIVE", "NEGATIVE"] });
    assert_eq!(body["outputs"][0], label);
    assert!(body["outputs"][1]["data"][1].as_f64().unwrap() > 0.5);
    let truncated = json!({ "name": "truncated", "shape": [2], "datatype": "BOOL", "data": [false, false] });
    assert_eq!(body["outputs"][2], truncated);
    let one = json!({ "name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [["I love this product"]] });
    let body = json(&mut infer(&json!({ "inputs": [one], "outputs": [{ "name": "label" }] })));
    let label = json!({ "name": "label", "shape": [1, 1], "datatype": "BYTES", "data": ["POSITIVE"] });
    assert_eq!(body, json!({ "model_name": "reviews", "model_version": "1", "outputs": [label] }));

    let refused = |mut response: ureq::http::Response<ureq::Body>, status: u16| {
        assert_eq!(response.status(), status);
        let body = json(&mut response);
        assert_eq!(keys(&body), ["error"]);
        body["error"].as_str().unwrap().to_owned()
    };
    refused(infer(&json!({})), 400);
    refused(get("/v2/nothing"), 404);
    refused(get("/v2/models/reviews/infer"), 405);
    assert_eq!(refused(get("/v2/models/other"), 404), "there is no model \"other\" here");
    refused(server.agent.get(url("/v2/models/reviews")).call().unwrap(), 401);
    refused(server.agent.post(url("/v2/models/reviews/infer")).send("{}").unwrap(), 401);
}

#[test]
fn bad_input_is_a_client_error_in_the_flat_shape() {
    let server = Server::start(&[]);
    for (body, kind) in [
        (r#"{"text":""}"#, "string_too_short"),
        (r#"{"text":" \n\t "}"#, "string_too_short"),
        (r#"{"txt":"a"}"#, "missing"),
        (r#"{"text":5}"#, "string_type"),
        ("[]", "model_attributes_type"),
        ("{", "json_invalid"),
    ] {
        let body = assert_error(server.post("/predict", body), 422, "E1001");
        assert_eq!(body["validation_errors"][0]["type"], kind);
        assert_eq!(body["validation_errors"][0]["loc"][0], "body");
    }
    let text = |length: usize| json!({ "text": "é".repeat(length) }).to_string();
    assert_eq!(server.post("/predict", &text(10_000)).status(), 200);
    let shorter = Server::start(&[("MLOPS_MAX_TEXT_LENGTH", "512")]);
    assert_eq!(shorter.post("/predict", &text(512)).status(), 200);
    assert_error(shorter.post("/predict", &text(513)), 400, "E1002");
    let body = assert_error(server.post("/predict", &text(10_001)), 422, "E1001");
    assert_eq!(body["validation_errors"][0]["type"], "string_too_long");
    assert_error(server.get("/nothing"), 404, "E1007");
    let response = server.get("/predict");
    assert_eq!(response.headers()["allow"], "POST");
    assert_error(response, 405, "E1008");
    assert_eq!(server.predict("still well")["label"], "POSITIVE");
}

#[test]
fn a_body_of_any_size_is_refused_without_being_kept() {
    let server = Server::start(&[]);
    // Announced too large, it is refused before it is sent.
    let huge = json!({ "text": "a".repeat(100 << 20) }).to_string();
    match server.agent.post(server.url("/predict")).send(&huge) {
        Ok(response) => drop(assert_error(response, 413, "E1005")),
        // The refusal may overtake the sending, which ends with a closed connection.
        Err(error) => assert!(matches!(error, ureq::Error::Io(_)), "{error}"),
    }
    assert_eq!(server.predict("still well")["label"], "POSITIVE");
}

#[test]
fn health_readiness_root_and_model_info_have_the_documented_shapes() {
    let server = Server::start(&[]);
    let health = json(&mut server.get("/health"));
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["model_status"], "available");
    assert_eq!(health["backend"], "onnx");
    assert!(health["timestamp"].is_f64() && health["version"].is_string());

    let details = json(&mut server.get("/health/details"));
    assert_eq!(
        details["dependencies"],
        json!([{ "component_name": "model", "details": { "status": "healthy", "error": null } }])
    );
    assert_eq!(json(&mut server.get("/ready")), json!({ "status": "ready" }));

    let root = server.agent.get(format!("http://{}/", server.address)).call();
    let root = json(&mut root.unwrap());
    assert_eq!(root["status"], "operational");
    assert_eq!(root["health_url"], "/api/v1/health");

    let info = json(&mut server.get("/model-info"));
    for key in [
        "model_name",
        "backend",
        "model_path",
        "model_file",
        "execution_providers",
        "is_loaded",
        "is_quantized",
        "is_optimized",
        "max_text_length",
        "cache_enabled",
        "cache_size",
        "cache_maxsize",
        "onnx_intra_op_threads",
        "onnx_inter_op_threads",
        "onnx_execution_mode",
        "tokenizer_is_fast",
    ] {
        assert!(!info[key].is_null(), "{key} is missing in {info}");
    }
    assert_eq!(info["is_quantized"], true);
    assert_eq!(info["labels"], json!(["NEGATIVE", "NEUTRAL", "POSITIVE"]));
}

#[test]
fn metrics_label_requests_by_route_and_invented_paths_add_no_series() {
    let server = Server::start(&[]);
    server.predict("count me");
    for number in 0..3 {
        server.get(&format!("/invented/{number}"));
    }
    let mut response = server.get("/metrics");
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.body_mut().read_to_string().unwrap();
    for series in [
        r#"sentiment_requests_total{endpoint="/api/v1/predict",method="POST",status_code="200"} "#,
        r#"sentiment_requests_total{endpoint="unmatched",method="GET",status_code="404"} "#,
        r#"sentiment_request_duration_seconds_count{endpoint="/api/v1/predict",method="POST"} "#,
        "sentiment_active_requests 1",
        "sentiment_model_loaded 1",
        "sentiment_inference_duration_seconds_count ",
        "sentiment_prediction_score_count ",
        "sentiment_text_length_characters_count ",
        "sentiment_queue_depth ",
        "sentiment_tokens_total ",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(series)), "{series} is not in\n{text}");
    }
    assert!(!text.contains("invented"));
}

#[test]
fn the_key_guards_predictions_and_nothing_that_probes_need() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    let body = r#"{"text":"a fine day"}"#;
    let response = server.post("/predict", body);
    assert_eq!(response.headers()["www-authenticate"], "ApiKey, Bearer");
    assert_error(response, 401, "E3002");
    let with_key = |key: &str| server.agent.post(server.url("/predict")).header("X-API-Key", key).send(body).unwrap();
    assert_error(with_key("s3cres"), 401, "E3002");
    assert_error(with_key("s3cret2"), 401, "E3002");
    assert_eq!(with_key("s3cret").status(), 200);
    assert_error(server.get("/model-info"), 401, "E3002");
    for path in ["/health", "/health/details", "/ready", "/metrics"] {
        assert_eq!(server.get(path).status(), 200, "{path}");
    }
    assert_eq!(server.agent.get(format!("http://{}/", server.address)).call().unwrap().status(), 200);
}

#[test]
fn every_route_but_the_open_ones_asks_for_the_key() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    let document = json(&mut server.get("/openapi.json"));
    let mut open = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let url = format!(
            "http://{}{}",
            server.address,
            path.replace("{name}", "default").replace("{version}", "1").replace("{id}", "none")
        );
        for method in operations.as_object().unwrap().keys() {
            let request = ureq::http::Request::builder().method(method.to_uppercase().as_str()).uri(&url);
            let status = if method == "post" {
                server.agent.run(request.body("{}").unwrap()).unwrap().status()
            } else {
                server.agent.run(request.body(()).unwrap()).unwrap().status()
            };
            if status != 401 {
                open.push(format!("{method} {path} {status}"));
            }
        }
    }
    open.sort_unstable();
    assert_eq!(
        open,
        [
            "get / 200 OK",
            "get /api/v1/health 200 OK",
            "get /api/v1/health/details 200 OK",
            "get /api/v1/metrics 200 OK",
            "get /api/v1/ready 200 OK",
            "get /health 200 OK",
            "get /healthz 200 OK",
            "get /livez 200 OK",
            "get /metrics 200 OK",
            "get /ready 200 OK",
            "get /readyz 200 OK",
            "get /v1/models/{name} 200 OK",
            "get /v2 200 OK",
            "get /v2/health/live 200 OK",
            "get /v2/health/ready 200 OK",
            "get /v2/models/{name}/ready 200 OK",
            "get /v2/models/{name}/versions/{version}/ready 200 OK",
        ]
    );
}

#[test]
fn a_browser_is_told_what_it_may_send_before_it_has_the_key() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret"), ("MLOPS_ALLOWED_ORIGINS", r#"["https://app.example"]"#)]);
    let request = ureq::http::Request::builder()
        .method("OPTIONS")
        .uri(server.url("/predict"))
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-api-key,traceparent");
    let response = server.agent.run(request.body(()).unwrap()).unwrap();
    assert_eq!(
        (response.status(), &response.headers()["access-control-allow-origin"]),
        (200.try_into().unwrap(), &"https://app.example".parse().unwrap())
    );
    let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
    for header in ["content-type", "x-api-key", "x-correlation-id", "traceparent", "tracestate"] {
        assert!(allowed.contains(header), "{header} is not in {allowed}");
    }
    let answer = server.agent.get(server.url("/health")).header("Origin", "https://app.example").call().unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("traceresponse") && exposed.contains("x-correlation-id"), "{exposed}");
}

#[test]
fn debug_serves_without_the_prefix() {
    let mut server = Server::start(&[("MLOPS_DEBUG", "true")]);
    assert_error(server.get("/health"), 404, "E1007");
    server.prefix = String::new();
    assert_eq!(server.get("/health").status(), 200);
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
}

#[test]
fn what_load_balancers_ask_is_at_the_top_too_unless_a_setting_says_no() {
    const PATHS: [&str; 6] = ["/health", "/healthz", "/livez", "/ready", "/readyz", "/metrics"];
    let at_top = |settings: &[(&str, &str)]| {
        let mut server = Server::start(settings);
        server.prefix = String::new();
        let found: Vec<_> = PATHS.into_iter().filter(|path| server.get(path).status() == 200).collect();
        (server, found)
    };
    let (server, found) = at_top(&[("MLOPS_API_KEY", "s3cret")]);
    assert_eq!(found, PATHS);
    assert_eq!(server.get("/metrics").headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = server.scrape();
    for path in &PATHS[..5] {
        let series = format!(r#"sentiment_requests_total{{endpoint="{path}",method="GET",status_code="200"}} 1"#);
        assert!(text.lines().any(|line| line == series), "{series} is not in\n{text}");
    }
    assert!(!text.contains(r#"endpoint="/metrics""#), "scrapes are counted");

    let (_, found) = at_top(&[("MLOPS_TOP_LEVEL_PATHS", "false")]);
    assert_eq!(found, [""; 0]);
    let (_, found) = at_top(&[("MLOPS_DEBUG", "true")]);
    assert_eq!(found, PATHS);
    let (_, found) = at_top(&[("MLOPS_DEBUG", "true"), ("MLOPS_TOP_LEVEL_PATHS", "false")]);
    assert_eq!(found, ["/health", "/ready", "/metrics"]);
    let (_, found) = at_top(&[("MLOPS_ENABLE_METRICS", "false")]);
    assert_eq!(found, PATHS[..5]);
}

#[test]
fn a_path_that_is_not_there_is_told_the_nearest_route() {
    let mut server = Server::listening(&[]);
    server.prefix = String::new();
    for (path, told) in [
        ("/api/v1/predictt", "there is nothing at /api/v1/predictt; did you mean POST /api/v1/predict?"),
        ("/predicts", "there is nothing at /predicts; did you mean POST /predict?"),
        ("/nothing", "there is nothing at /nothing"),
    ] {
        assert_eq!(assert_error(server.post(path, "{}"), 404, "E1007")["detail"], told);
    }
    let mut response = server.post("/v2/models/default/infr", "{}");
    let body = json(&mut response);
    assert_eq!(
        body,
        json!({ "error": "there is nothing at /v2/models/default/infr; did you mean POST /v2/models/{name}/infer?" })
    );
}

#[test]
fn the_operations_side_has_a_port_of_its_own_where_one_is_set() {
    let server = Server::start(&[("MLOPS_MANAGEMENT_PORT", "0"), ("MLOPS_API_KEY", "s3cret")]);
    let management = |path: &str| server.agent.get(format!("http://{}{path}", server.management)).call().unwrap();
    let public = |path: &str| server.agent.get(format!("http://{}{path}", server.address)).call().unwrap();
    let everywhere = ["/", "/health", "/readyz", "/api/v1/health", "/api/v1/ready", "/docs", "/v2/health/ready"];
    for path in everywhere {
        assert_eq!((public(path).status().as_u16(), management(path).status().as_u16()), (200, 200), "{path}");
    }
    let port = server.management.rsplit_once(':').unwrap().1;
    for path in ["/metrics", "/api/v1/metrics", "/api/v1/health/details"] {
        assert_eq!(management(path).status(), 200, "{path}");
        let detail = assert_error(public(path), 404, "E1007")["detail"].as_str().unwrap().to_owned();
        assert!(detail.ends_with(&format!("port {port} has it")), "{detail}");
    }
    assert_eq!(json(&mut management("/api/v1/model-info"))["model_name"], "default");
    assert_error(public("/api/v1/model-info"), 401, "E3002");
    let predict = server.agent.post(format!("http://{}/api/v1/predict", server.management)).send("{}").unwrap();
    assert_error(predict, 404, "E1007");
    // What its document names is there, and asks for no key.
    let document = json(&mut management("/api/v1/openapi.json"));
    for path in document["paths"].as_object().unwrap().keys() {
        assert_eq!(management(path).status(), 200, "{path}");
    }
}

#[test]
fn browsers_may_call_from_the_allowed_origins_only() {
    let server = Server::start(&[("MLOPS_ALLOWED_ORIGINS", r#"["https://app.example"]"#)]);
    let from = |origin: &str| server.agent.get(server.url("/health")).header("Origin", origin).call().unwrap();
    assert_eq!(from("https://app.example").headers()["access-control-allow-origin"], "https://app.example");
    assert!(from("https://evil.example").headers().get("access-control-allow-origin").is_none());
}

#[test]
fn another_model_with_other_labels_inputs_and_a_run_that_fails() {
    let model = common::fixture("three-labels");
    let server = Server::start(&[
        ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()),
        ("MLOPS_MODEL_NAME", "three"),
        ("MLOPS_NEUTRAL_BAND", "0.9"),
    ]);
    for word in ["bad", "fine", "good"] {
        let body = server.predict(word);
        assert_eq!((&body["label"], &body["model_name"]), (&json!(word), &json!("three")));
    }
    assert_eq!(server.predict("good bad")["label"], "NEUTRAL");
    // This model can't run that word; the worker that tried goes on.
    for _ in 0..5 {
        assert_error(server.post("/predict", &json!({ "text": "good poison" }).to_string()), 500, "E2002");
    }
    assert_eq!(server.predict("good")["label"], "good");
    assert_eq!(json(&mut server.get("/model-info"))["is_quantized"], false);
}

#[test]
fn a_full_queue_is_a_503_that_says_when_to_come_back() {
    let server = Server::start(&[
        ("MLOPS_QUEUE_CAPACITY", "1"),
        ("MLOPS_THREADS", "1"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
    ]);
    let body = json!({ "text": "slow and long ".repeat(36) }).to_string();
    let refused = thread::scope(|scope| {
        let calls: Vec<_> = (0..24).map(|_| scope.spawn(|| server.post("/predict", &body))).collect();
        let answers = calls.into_iter().map(|call| call.join().unwrap());
        let refused: Vec<_> = answers.filter(|answer| answer.status() != 200).collect();
        refused
    });
    assert!(!refused.is_empty(), "24 calls at once fit into a queue of one");
    for response in refused {
        assert_eq!(response.headers()["retry-after"], "1");
        assert_error(response, 503, "E4003");
    }
    thread::sleep(Duration::from_millis(10));
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
}
