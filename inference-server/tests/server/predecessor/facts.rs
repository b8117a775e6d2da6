//! The surface of KubeSentiment 1.5, as its documentation has it. Every row is a promise to its users.

/// A call and what it answers. Each row is asked in turn of one server that has an API key.
pub struct Route {
    pub method: &'static str,
    /// Without the prefix, which `/` alone never has; `{job}` stands for the id of a job that was taken.
    pub path: &'static str,
    pub body: &'static str,
    /// Whether it answers without the key.
    pub open: bool,
    pub status: u16,
    /// `field:type`, fields of fields by dots, entries of lists by their index.
    pub answer: &'static str,
    pub headers: &'static [&'static str],
}

const fn get(path: &'static str, open: bool, answer: &'static str) -> Route {
    Route { method: "GET", path, body: "", open, status: 200, answer, headers: &[] }
}

const fn post(path: &'static str, body: &'static str, answer: &'static str) -> Route {
    Route { method: "POST", path, body, open: false, status: 200, answer, headers: &[] }
}

pub const ROUTES: &[Route] = &[
    get("/", true, "service:string version:string status=operational docs_url:string health_url:string"),
    Route {
        headers: &["X-Inference-Time-MS", "X-Model-Backend", "X-Correlation-ID"],
        ..post(
            "/predict",
            r#"{"text": "  I love this product "}"#,
            "label=POSITIVE prediction_id:string score:number inference_time_ms:number model_name:string \
             text_length=19 backend=onnx cached:boolean features:null",
        )
    },
    get("/health", true, "status:string model_status:string version:string backend=onnx timestamp:number"),
    get(
        "/health/details",
        true,
        "status:string version:string timestamp:number dependencies.0.component_name:string \
         dependencies.0.details.status:string dependencies.0.details.error:null",
    ),
    get("/ready", true, "status=ready"),
    get("/metrics", true, ""),
    get(
        "/model-info",
        false,
        "model_name:string backend=onnx model_path:string model_file:string execution_providers.0:string \
         is_loaded:boolean is_quantized:boolean is_optimized:boolean max_text_length=10000 cache_enabled:boolean \
         cache_size:number cache_maxsize=1000 onnx_intra_op_threads:number onnx_inter_op_threads:number \
         onnx_execution_mode:string tokenizer_is_fast:boolean",
    ),
    post(
        "/batch/predict",
        r#"{"texts": ["I love this product", "It is awful"], "priority": "high", "timeout_seconds": 60}"#,
        "job_id:string status:string total_texts=2 estimated_completion_seconds:number created_at:number \
         priority=high progress_percentage:number",
    ),
    get(
        "/batch/status/{job}",
        false,
        "job_id:string status=completed total_texts=2 created_at:number priority=high progress_percentage=100.0 \
         estimated_completion_seconds:number|null processed_texts=2 failed_texts=0 started_at:number \
         completed_at:number error:null",
    ),
    get(
        "/batch/results/{job}?page=2&page_size=1",
        false,
        "job_id:string results.0.label=NEGATIVE results.0.score:number total_results=2 page=2 page_size=1 \
         has_more=false summary.total_texts=2 summary.successful_predictions=2 summary.failed_predictions=0 \
         summary.success_rate:number",
    ),
    get(
        "/batch/metrics",
        false,
        "total_jobs=1 active_jobs=0 completed_jobs=1 failed_jobs=0 average_processing_time_seconds:number \
         average_throughput_tps:number queue_size=0 average_batch_size:number processing_efficiency:number",
    ),
    get(
        "/batch/queue/status",
        false,
        "queues.high_priority=0 queues.medium_priority=0 queues.low_priority=0 queues.total=0 timestamp:number \
         service_status:string",
    ),
    Route {
        status: 201,
        ..post(
            "/feedback",
            r#"{"prediction_id": "96d7c911-f640-44b3-82f4-0ad05a41a878", "corrected_label": "NEUTRAL", "text": "So so",
                "score": 0.6, "user_id": "ann", "comments": "neither nor"}"#,
            "status=success message:string prediction_id=96d7c911-f640-44b3-82f4-0ad05a41a878",
        )
    },
    post(
        "/explain",
        r#"{"text": "I love this product", "prediction": "POSITIVE", "confidence": 0.96, "use_attention": true,
            "use_gradients": false}"#,
        "text:string prediction=POSITIVE confidence:number token_attributions.1.token=love \
         token_attributions.1.attribution:number",
    ),
    get(
        "/monitoring/drift",
        false,
        "drift_detected:null|boolean features.score:null features.text_length:null timestamp:number",
    ),
];

/// The route that takes a job back, asked of one that is at work.
pub const CANCEL: Route = Route {
    method: "DELETE",
    path: "/batch/jobs/{job}",
    body: "",
    open: false,
    status: 200,
    answer: "message:string job_id:string status=cancelled",
    headers: &[],
};

/// A call that goes wrong: method, path, body, status, and how its code begins.
pub type Failure = (&'static str, &'static str, &'static str, u16, &'static str);

/// Codes: E1 input, E2 model, E3 access, E4 system, E5 configuration, E7 batch, E8 monitoring.
pub const FAILURES: &[Failure] = &[
    ("POST", "/predict", r#"{"text": ""}"#, 422, "E1001"),
    ("POST", "/predict", r#"{"text": "   "}"#, 422, "E1001"),
    ("POST", "/predict", r#"{"text": 5}"#, 422, "E1001"),
    ("POST", "/predict", "{}", 422, "E1001"),
    ("POST", "/predict", "{", 422, "E1001"),
    ("POST", "/predict", "10001 characters", 422, "E1001"),
    ("POST", "/predict", "513 characters", 400, "E1"),
    ("POST", "/batch/predict", r#"{"texts": []}"#, 422, "E1001"),
    ("POST", "/batch/predict", r#"{"texts": ["a"], "priority": "urgent"}"#, 422, "E1001"),
    ("POST", "/batch/predict", r#"{"texts": ["a"], "timeout_seconds": 9}"#, 422, "E1001"),
    ("GET", "/batch/status/00000000-0000-4000-8000-000000000000", "", 404, "E7"),
    ("POST", "/feedback", r#"{"prediction_id": "order-4711", "corrected_label": "POSITIVE"}"#, 422, "E1001"),
    (
        "POST",
        "/feedback",
        r#"{"prediction_id": "96d7c911-f640-44b3-82f4-0ad05a41a878", "corrected_label": "GREAT"}"#,
        422,
        "E1001",
    ),
    ("POST", "/feedback", r#"{"corrected_label": "POSITIVE"}"#, 422, "E1001"),
    ("POST", "/explain", r#"{"text": ""}"#, 422, "E1001"),
    ("GET", "/predict", "", 405, "E1"),
    ("GET", "/no-such-route", "", 404, "E1"),
];

/// Routes that answer 401 without the key, with a code of access.
pub const KEYED: &[(&str, &str)] = &[
    ("POST", "/predict"),
    ("GET", "/model-info"),
    ("POST", "/batch/predict"),
    ("GET", "/batch/status/00000000-0000-4000-8000-000000000000"),
    ("GET", "/batch/results/00000000-0000-4000-8000-000000000000"),
    ("DELETE", "/batch/jobs/00000000-0000-4000-8000-000000000000"),
    ("GET", "/batch/metrics"),
    ("GET", "/batch/queue/status"),
    ("POST", "/feedback"),
    ("POST", "/explain"),
    ("GET", "/monitoring/drift"),
];

/// A variable without its prefix `MLOPS_`, its default, another value that it takes, and one that it refuses (none
/// where any text will do).
pub type Variable = (&'static str, &'static str, &'static str, &'static str);

pub const VARIABLES: &[Variable] = &[
    ("PORT", "8000", "9000", "65536"),
    // 0.0.0.0 before, which leaves out IPv6.
    ("HOST", "", "0.0.0.0", "nowhere"),
    ("HOST", "", "127.0.0.1", "nowhere"),
    ("LOG_LEVEL", "INFO", "WARNING", "LOUD"),
    ("PROFILE", "production", "local", "prod"),
    ("PROFILE", "production", "development", "prod"),
    ("PROFILE", "production", "staging", "prod"),
    ("DEBUG", "false", "true", "perhaps"),
    ("API_KEY", "", "s3cret", ""),
    ("ALLOWED_ORIGINS", "", r#"["https://a.example"]"#, r#"["*"]"#),
    ("MAX_REQUEST_TIMEOUT", "30", "60", "0"),
    ("MAX_TEXT_LENGTH", "10000", "512", "10001"),
    ("MODEL_NAME", "default", "reviews", ""),
    ("MODEL_BACKEND", "onnx", "ONNX", "pytorch"),
    ("ONNX_MODEL_PATH", "/app/model", "/models/other", ""),
    ("PREDICTION_CACHE_ENABLED", "true", "false", "perhaps"),
    ("PREDICTION_CACHE_MAX_SIZE", "1000", "1", "0"),
    ("REDIS_ENABLED", "false", "true", "perhaps"),
    ("REDIS_HOST", "localhost", "redis.cache.svc", "redis://redis"),
    ("REDIS_PORT", "6379", "6380", "0"),
    ("REDIS_DB", "0", "3", "-1"),
    ("REDIS_PASSWORD", "", "s3cret", ""),
    ("REDIS_MAX_CONNECTIONS", "50", "10", "0"),
    ("REDIS_NAMESPACE", "kubesentiment", "reviews", "two words"),
    ("REDIS_PREDICTION_CACHE_TTL", "3600", "60", "0"),
    ("ASYNC_BATCH_ENABLED", "true", "false", "perhaps"),
    ("ASYNC_BATCH_MAX_JOBS", "1000", "10", "0"),
    ("ASYNC_BATCH_PRIORITY_HIGH_LIMIT", "100", "1", "0"),
    ("ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT", "500", "1", "0"),
    ("ASYNC_BATCH_PRIORITY_LOW_LIMIT", "1000", "1", "0"),
    ("ASYNC_BATCH_CACHE_TTL_SECONDS", "3600", "60", "0"),
    ("ENABLE_METRICS", "true", "false", "perhaps"),
    ("ENABLE_TRACING", "", "false", "perhaps"),
    ("OTLP_ENDPOINT", "", "http://collector.tracing.svc:4318", "collector"),
    ("DRIFT_WINDOW_SIZE", "1000", "500", "99"),
    ("DRIFT_PSI_THRESHOLD", "0.1", "0.25", "-1"),
    ("DRIFT_KS_THRESHOLD", "0.05", "0.01", "1.5"),
];

/// The one variable that the guide sets without the prefix too; the prefixed one wins.
pub const UNPREFIXED: &str = "REDIS_HOST";

/// Variables that no longer do anything: a start isn't refused, and a line names each.
pub const RETIRED: &[(&str, &str)] = &[
    ("MLOPS_ONNX_INTER_OP_NUM_THREADS", "1"),
    ("MLOPS_SHADOW_MODE_ENABLED", "true"),
    ("MLOPS_SHADOW_TRAFFIC_PERCENTAGE", "10"),
];

/// A series' name and its labels, as a scrape has them.
pub const SERIES: &[(&str, &[&str])] = &[
    ("sentiment_requests_total", &["endpoint", "method", "status_code"]),
    ("sentiment_request_duration_seconds_bucket", &[]),
    ("sentiment_active_requests", &[]),
    ("sentiment_model_loaded", &[]),
    ("sentiment_inference_duration_seconds_bucket", &[]),
    ("sentiment_prediction_score_bucket", &[]),
    ("sentiment_text_length_characters_bucket", &[]),
];

/// A model directory's files: the first that is there is served.
pub const MODEL_FILES: &[&str] =
    &["model.quantized.onnx", "model_quantized.onnx", "model_optimized.onnx", "model.onnx", "another.onnx"];

/// A flag of the health check program, its variable, and its default.
pub const HEALTHCHECK: &[(&str, &str, &str)] = &[
    ("--host", "HEALTHCHECK_HOST", "localhost"),
    ("--port", "HEALTHCHECK_PORT", "8000"),
    ("--path", "HEALTHCHECK_PATH", "/health"),
    ("--timeout", "HEALTHCHECK_TIMEOUT", "5"),
];
