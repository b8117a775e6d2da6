//! Batch jobs over HTTP against the real model and the real ONNX Runtime.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use ureq::{Body, http::Response};

use crate::common::{self, Server, assert_keys, json};

fn submit(server: &Server, body: &Value) -> Response<Body> {
    server.post("/batch/predict", &body.to_string())
}

/// Takes a job and returns its id.
fn taken(server: &Server, body: &Value) -> String {
    let mut response = submit(server, body);
    assert_eq!(response.status(), 200);
    json(&mut response)["job_id"].as_str().unwrap().to_owned()
}

fn status(server: &Server, id: &str) -> Value {
    let mut response = server.get(&format!("/batch/status/{id}"));
    assert_eq!(response.status(), 200);
    json(&mut response)
}

fn results(server: &Server, id: &str) -> Value {
    let mut response = server.get(&format!("/batch/results/{id}?page_size=1000"));
    assert_eq!(response.status(), 200);
    json(&mut response)
}

fn cancel(server: &Server, id: &str) -> Response<Body> {
    server.agent.delete(server.url(&format!("/batch/jobs/{id}"))).call().unwrap()
}

/// Waits until a job is in a state, and returns what is said about it then.
fn wait_for(server: &Server, id: &str, wanted: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = status(server, id);
        if found["status"] == wanted {
            return found;
        }
        assert!(Instant::now() < deadline, "job is not {wanted}, but {found}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn refused(mut response: Response<Body>, code: u16, error_code: &str) -> Value {
    let body = json(&mut response);
    assert_eq!((response.status().as_u16(), &body["error_code"]), (code, &json!(error_code)), "{body}");
    assert_eq!(body["correlation_id"], response.headers()["x-correlation-id"].to_str().unwrap());
    body
}

/// Work for many seconds on any machine: long texts, no two alike.
fn long_texts() -> Vec<String> {
    (0..1000).map(|number| format!("number {number} ") + &"goes on and on ".repeat(33)).collect()
}

#[test]
fn a_job_from_submission_to_results_in_the_documented_shapes() {
    let server = Server::start(&[]);
    let texts: Vec<String> = (0..250)
        .map(|index| if index % 3 == 0 { format!("I love number {index}") } else { format!("Number {index} is awful") })
        .collect();
    let mut response = submit(&server, &json!({ "texts": texts }));
    assert_eq!(response.status(), 200);
    let job = json(&mut response);
    let submitted = [
        "job_id",
        "status",
        "total_texts",
        "estimated_completion_seconds",
        "created_at",
        "priority",
        "progress_percentage",
    ];
    assert_keys(&job, &submitted);
    assert_eq!(
        (&job["status"], &job["priority"], &job["total_texts"]),
        (&json!("pending"), &json!("medium"), &json!(250))
    );
    assert!(job["created_at"].is_f64() && job["estimated_completion_seconds"].is_u64());
    let id = job["job_id"].as_str().unwrap();

    let done = wait_for(&server, id, "completed");
    let more = ["processed_texts", "failed_texts", "started_at", "completed_at", "error"];
    assert_keys(&done, &[&submitted[..], &more].concat());
    assert_eq!(
        (&done["processed_texts"], &done["failed_texts"], &done["error"]),
        (&json!(250), &json!(0), &Value::Null)
    );
    assert_eq!((&done["progress_percentage"], &done["estimated_completion_seconds"]), (&json!(100.0), &json!(0)));
    let time = |name: &str| done[name].as_f64().unwrap();
    assert!(time("created_at") <= time("started_at") && time("started_at") <= time("completed_at"));

    let mut read = Vec::new();
    for page in 1..=3 {
        let path = if page == 1 { String::new() } else { format!("?page={page}&page_size=100") };
        let body = json(&mut server.get(&format!("/batch/results/{id}{path}")));
        assert_keys(&body, &["job_id", "results", "total_results", "page", "page_size", "has_more", "summary"]);
        assert_eq!(
            (&body["page"], &body["page_size"], &body["total_results"]),
            (&json!(page), &json!(100), &json!(250))
        );
        assert_eq!(body["has_more"], page < 3);
        let summary = json!({
            "total_texts": 250, "successful_predictions": 250, "failed_predictions": 0, "success_rate": 1.0,
        });
        assert_eq!(body["summary"], summary);
        read.extend(body["results"].as_array().unwrap().clone());
    }
    assert_eq!(read.len(), 250);
    for (index, (text, result)) in texts.iter().zip(&read).enumerate() {
        assert_eq!(result["label"], if index % 3 == 0 { "POSITIVE" } else { "NEGATIVE" }, "{text}");
        assert_eq!(result["text_length"], text.len());
    }
    // One result has the fields of a prediction, and what was run for a job answers a prediction too.
    let again = server.predict(&texts[7]);
    assert_keys(&read[7], &again.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((&again["score"], &again["cached"]), (&read[7]["score"], &json!(true)));
    let beyond = json(&mut server.get(&format!("/batch/results/{id}?page=4")));
    assert_eq!((&beyond["results"], &beyond["has_more"]), (&json!([]), &json!(false)));
}

#[test]
fn figures_queues_and_series() {
    let server = Server::start(&[]);
    let id = taken(&server, &json!({ "texts": ["good", "bad"], "priority": "high" }));
    wait_for(&server, &id, "completed");
    let figures = json(&mut server.get("/batch/metrics"));
    assert_keys(
        &figures,
        &[
            "total_jobs",
            "active_jobs",
            "completed_jobs",
            "failed_jobs",
            "average_processing_time_seconds",
            "average_throughput_tps",
            "queue_size",
            "average_batch_size",
            "processing_efficiency",
        ],
    );
    assert_eq!((&figures["total_jobs"], &figures["completed_jobs"]), (&json!(1), &json!(1)));
    assert_eq!((&figures["average_batch_size"], &figures["processing_efficiency"]), (&json!(2.0), &json!(100.0)));
    assert!(figures["average_throughput_tps"].as_f64().unwrap() > 0.0);

    let queues = json(&mut server.get("/batch/queue/status"));
    assert_keys(&queues, &["queues", "timestamp", "service_status"]);
    let empty = json!({ "high_priority": 0, "medium_priority": 0, "low_priority": 0, "total": 0 });
    assert_eq!((&queues["queues"], &queues["service_status"]), (&empty, &json!("active")));
    assert!(queues["timestamp"].as_f64().unwrap() > 1.7e9);

    let metrics = server.scrape();
    for line in [
        r#"sentiment_batch_jobs_ended_total{priority="high",status="completed"} 1"#,
        r#"sentiment_batch_jobs_texts_total{outcome="answered"} 2"#,
        r#"sentiment_requests_total{endpoint="/api/v1/batch/metrics",method="GET",status_code="200"} 1"#,
        r#"sentiment_requests_total{endpoint="/api/v1/batch/queue/status",method="GET",status_code="200"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains(&id), "a job's id is in a series");
}

#[test]
fn bad_requests_are_client_errors_in_the_flat_shape() {
    let server = Server::start(&[]);
    for (body, field, kind) in [
        (json!({}), "texts", "missing"),
        (json!({ "texts": [] }), "texts", "too_short"),
        (json!({ "texts": vec!["a"; 1001] }), "texts", "too_long"),
        (json!({ "texts": ["", ""] }), "texts", "string_too_short"),
        (json!({ "texts": ["a"], "priority": "urgent" }), "priority", "string_pattern_mismatch"),
        (json!({ "texts": ["a"], "max_batch_size": 0 }), "max_batch_size", "greater_than_equal"),
        (json!({ "texts": ["a"], "timeout_seconds": 9 }), "timeout_seconds", "greater_than_equal"),
        (json!({ "texts": ["a"], "timeout_seconds": 3601 }), "timeout_seconds", "less_than_equal"),
    ] {
        let error = refused(submit(&server, &body), 422, "E1001")["validation_errors"][0].clone();
        assert_eq!((&error["loc"][1], &error["type"]), (&json!(field), &json!(kind)));
    }
    refused(server.post("/batch/predict", "{"), 422, "E1001");
    refused(submit(&server, &json!({ "texts": ["a".repeat(10_001)] })), 422, "E1001");
    for id in ["00000000-0000-4000-8000-000000000000", "nonsense", "%FF"] {
        refused(server.get(&format!("/batch/status/{id}")), 404, "E7001");
        refused(server.get(&format!("/batch/results/{id}")), 404, "E7001");
        refused(cancel(&server, id), 404, "E7001");
    }
    let id = taken(&server, &json!({ "texts": ["good"] }));
    wait_for(&server, &id, "completed");
    for query in ["page=0", "page_size=0", "page_size=1001", "page=one", "page=1&page=1"] {
        let error = refused(server.get(&format!("/batch/results/{id}?{query}")), 422, "E1001");
        assert_eq!(error["validation_errors"][0]["loc"][0], "query", "{query}");
    }
    refused(cancel(&server, &id), 404, "E7003");
    assert_eq!(server.get("/batch/jobs/x").headers()["allow"], "DELETE");
}

#[test]
fn a_text_that_fails_costs_no_other_its_answer() {
    let model = common::fixture("three-labels");
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap())]);
    // This model can't run that word.
    let poison = "good poison";
    let id = taken(&server, &json!({ "texts": ["good", poison, "bad"] }));
    let done = wait_for(&server, &id, "completed");
    assert_eq!((&done["processed_texts"], &done["failed_texts"], &done["error"]), (&json!(3), &json!(1), &Value::Null));
    let body = results(&server, &id);
    let found: Vec<_> = body["results"].as_array().unwrap().iter().map(|result| result["label"].clone()).collect();
    assert_eq!(found, ["good", "ERROR", "bad"]);
    let failed = &body["results"][1];
    assert_eq!((&failed["score"], &failed["text_length"]), (&json!(0.0), &json!(11)));
    assert!(failed["error"].as_str().unwrap().contains("the model failed"), "{failed}");
    let summary = &body["summary"];
    assert_eq!((&summary["successful_predictions"], &summary["failed_predictions"]), (&json!(2), &json!(1)));
    assert!((summary["success_rate"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);

    // What is wrong with a text from the start is no reason to refuse the others either.
    let id = taken(&server, &json!({ "texts": ["good", 7, "bad"] }));
    wait_for(&server, &id, "completed");
    let failed = &results(&server, &id)["results"][1];
    assert_eq!((&failed["label"], &failed["error"]), (&json!("ERROR"), &json!("Input should be a valid string")));
    assert_eq!((&failed["error_code"], &failed["index"]), (&json!("E1001"), &json!(1)));

    let id = taken(&server, &json!({ "texts": [poison] }));
    let failed = wait_for(&server, &id, "failed");
    assert!(failed["error"].as_str().unwrap().contains("the model failed"), "{failed}");
    assert_eq!(results(&server, &id)["results"][0]["label"], "ERROR");
    assert_eq!(json(&mut server.get("/batch/metrics"))["failed_jobs"], 1);
}

#[test]
fn requests_and_urgent_jobs_go_before_a_big_job_which_expires_or_is_cancelled() {
    let server = Server::start(&[("MLOPS_THREADS", "1"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    let texts = long_texts();
    let big: Vec<_> = (0..3).map(|_| taken(&server, &json!({ "texts": texts, "priority": "low" }))).collect();
    let short = taken(&server, &json!({ "texts": texts, "priority": "low", "timeout_seconds": 10 }));
    wait_for(&server, &big[0], "processing");
    let early = refused(server.get(&format!("/batch/results/{}", big[0])), 404, "E7002");
    assert!(early["detail"].as_str().unwrap().ends_with("no results yet"), "{early}");

    let urgent = taken(&server, &json!({ "texts": ["good", "bad"], "priority": "high" }));
    wait_for(&server, &urgent, "completed");
    let mut times: Vec<_> = (0..20)
        .map(|number| {
            let start = Instant::now();
            server.predict(&format!("request {number}"));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    // Without their turn they would wait for three thousand long texts.
    assert!(times[19] < Duration::from_secs(3), "requests took {times:?}");
    let progress = status(&server, &big[0]);
    assert_eq!(progress["status"], "processing", "the job is too small to show anything: {progress}");
    assert!(progress["estimated_completion_seconds"].as_u64().unwrap() > 0);

    let body = json(&mut cancel(&server, &big[0]));
    let message = format!("Batch job {} cancelled successfully", big[0]);
    assert_eq!(body, json!({ "message": message, "job_id": big[0], "status": "cancelled" }));
    assert!(status(&server, &big[0])["completed_at"].is_f64());
    let late = refused(server.get(&format!("/batch/results/{}", big[0])), 404, "E7002");
    assert!(late["detail"].as_str().unwrap().ends_with("is cancelled and has no results"), "{late}");
    refused(cancel(&server, &big[0]), 404, "E7003");
    // The next one takes its place, and another can be taken back while it waits.
    wait_for(&server, &big[1], "processing");
    assert_eq!(json(&mut cancel(&server, &big[2]))["status"], "cancelled");
    assert_eq!(json(&mut server.get("/batch/queue/status"))["queues"]["low_priority"], 1);

    let expired = wait_for(&server, &short, "expired");
    let lived = expired["completed_at"].as_f64().unwrap() - expired["created_at"].as_f64().unwrap();
    assert!((9.9..12.0).contains(&lived), "expired after {lived} s");
    assert!(expired["error"].as_str().unwrap().starts_with("10 seconds were up when "), "{expired}");
    assert_eq!(json(&mut server.get("/batch/queue/status"))["queues"]["low_priority"], 0);
}

#[test]
fn full_queues_and_full_memory_are_a_503_that_says_when_to_come_back() {
    let settings = [
        ("MLOPS_THREADS", "1"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ("MLOPS_ASYNC_BATCH_PRIORITY_HIGH_LIMIT", "1"),
        ("MLOPS_ASYNC_BATCH_MAX_JOBS", "4"),
    ];
    let server = Server::start(&settings);
    let texts = long_texts();
    let job = |priority: &str| json!({ "texts": texts, "priority": priority });
    let running = taken(&server, &job("high"));
    wait_for(&server, &running, "processing");
    taken(&server, &job("high"));
    let full = submit(&server, &job("high"));
    assert_eq!(full.headers()["retry-after"], "5");
    let detail = refused(full, 503, "E7004")["detail"].clone();
    assert_eq!(detail, "1 jobs of high priority are waiting already");
    taken(&server, &job("medium"));
    taken(&server, &job("low"));
    let detail = refused(submit(&server, &job("low")), 503, "E7004")["detail"].clone();
    assert_eq!(detail, "4 jobs are unfinished already");
    assert_eq!(cancel(&server, &running).status(), 200);
    taken(&server, &job("low"));
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");

    let settings = [
        ("MLOPS_THREADS", "1"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ("MLOPS_MAX_TEXT_LENGTH", "3000"),
        ("MLOPS_ASYNC_BATCH_MAX_BYTES", "8388608"),
    ];
    let server = Server::start(&settings);
    let large = json!({ "texts": vec!["goes on and on ".repeat(190); 1000] });
    taken(&server, &large);
    taken(&server, &large);
    let detail = refused(submit(&server, &large), 503, "E7004")["detail"].clone();
    assert_eq!(detail, "unfinished jobs hold nearly all of the 8388608 bytes that jobs may hold");
}

#[test]
fn an_ended_job_is_forgotten_after_its_time() {
    let server = Server::start(&[("MLOPS_ASYNC_BATCH_CACHE_TTL_SECONDS", "1")]);
    let id = taken(&server, &json!({ "texts": ["good"] }));
    wait_for(&server, &id, "completed");
    thread::sleep(Duration::from_millis(1100));
    refused(server.get(&format!("/batch/status/{id}")), 404, "E7001");
}

#[test]
fn turned_off_every_route_says_so() {
    let server = Server::start(&[("MLOPS_ASYNC_BATCH_ENABLED", "false")]);
    refused(submit(&server, &json!({ "texts": ["good"] })), 503, "E7005");
    for path in ["status/x", "results/x", "metrics", "queue/status"] {
        refused(server.get(&format!("/batch/{path}")), 503, "E7005");
    }
    refused(cancel(&server, "x"), 503, "E7005");
    assert_eq!(server.predict("good")["label"], "POSITIVE");
}

#[test]
fn the_key_guards_jobs() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    refused(submit(&server, &json!({ "texts": ["good"] })), 401, "E3002");
    for path in ["status/x", "results/x", "metrics", "queue/status"] {
        refused(server.get(&format!("/batch/{path}")), 401, "E3002");
    }
    refused(cancel(&server, "x"), 401, "E3002");
}

#[test]
fn while_it_drains_the_server_takes_no_job_and_shows_those_it_has() {
    let mut server = Server::start(&[("MLOPS_DRAIN_SECONDS", "3"), ("MLOPS_THREADS", "1")]);
    let done = taken(&server, &json!({ "texts": ["good"] }));
    wait_for(&server, &done, "completed");
    let running = taken(&server, &json!({ "texts": long_texts() }));
    taken(&server, &json!({ "texts": long_texts(), "priority": "low" }));
    server.signal("TERM");
    server.line("draining");
    let response = submit(&server, &json!({ "texts": ["good"] }));
    assert_eq!(response.headers()["retry-after"], "1");
    refused(response, 503, "E4002");
    assert_eq!(results(&server, &done)["results"][0]["label"], "POSITIVE");
    wait_for(&server, &running, "processing");
    assert_eq!(json(&mut server.get("/batch/queue/status"))["service_status"], "draining");
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
    let lines = server.lines_to_the_end();
    let lost = lines.iter().find(|line| line["message"] == "stopped with batch jobs unfinished");
    assert_eq!(lost.map(|line| &line["jobs"]), Some(&json!(2)), "{lines:?}");
}
