//! The table of environment variables: what `--help` and `--print-config` show.

use super::settings::CONFIG_DIR;

/// An environment variable that the server reads.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that is read when this one isn't set.
    pub also: Option<&'static str>,
    /// What is in force when it isn't set; empty for "nothing".
    pub default: &'static str,
    /// What it may hold, as the end of a sentence that starts with "must be".
    pub allowed: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it is a secret.
    pub secrecy: Secrecy,
}

/// How a variable has to do with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Not at all.
    Open,
    /// It is one, and never printed. Blank ends the start.
    Secret,
    /// It names the file of one, which may be the only place for it. Blank ends the start, too.
    SecretFile,
}

const fn variable(name: &'static str, default: &'static str, allowed: &'static str, help: &'static str) -> Variable {
    Variable { name, also: None, default, allowed, help, secrecy: Secrecy::Open }
}

const fn secret(name: &'static str, help: &'static str) -> Variable {
    Variable { secrecy: Secrecy::Secret, ..variable(name, "", "text", help) }
}

const fn secret_file(name: &'static str, help: &'static str) -> Variable {
    Variable { secrecy: Secrecy::SecretFile, ..variable(name, "", "a path", help) }
}

/// Every variable, in the order of `--help`.
pub const VARIABLES: &[Variable] = &[
    variable(CONFIG_DIR, "/app/config", "a path", "Folder whose *.yaml files hold settings; variables win"),
    variable(
        "MLOPS_PROFILE",
        "production",
        "local, development, staging or production",
        "Where the service runs; local logs as text",
    ),
    variable(
        "MLOPS_HOST",
        "",
        "an IP address or localhost",
        "Address to listen on; default every one of IPv4 and IPv6, as far as there are any",
    ),
    variable("MLOPS_PORT", "8000", "a whole number from 0 to 65535", "TCP port to listen on"),
    variable(
        "MLOPS_MANAGEMENT_PORT",
        "",
        "a whole number from 0 to 65535",
        "TCP port of its own for health, readiness, metrics, details and documentation, without key; default none",
    ),
    secret_file(
        "MLOPS_TLS_CERT_FILE",
        "PEM file of the server's certificate and those between it and its authority: speak HTTPS; read again when it \
         changes",
    ),
    secret_file("MLOPS_TLS_KEY_FILE", "PEM file of that certificate's key, without a passphrase"),
    secret_file(
        "MLOPS_TLS_CLIENT_CA_FILE",
        "PEM file of authorities of which clients must show a certificate; default none is asked for",
    ),
    variable(
        "MLOPS_PROTOCOLS",
        "native,oip,grpc,kserve,tei,vllm",
        "a comma-separated list of native, oip, grpc, kserve, tei and vllm",
        "Protocols that texts are taken by: version 1's own, the Open Inference Protocol over REST and gRPC, KServe's \
         version 1, text-embeddings-inference and the Hub, vLLM's and Infinity's /classify",
    ),
    variable(
        "MLOPS_GRPC_PORT",
        "8001",
        "a whole number from 0 to 65535",
        "TCP port of the Open Inference Protocol over gRPC, where it is served",
    ),
    variable(
        "MLOPS_TOP_LEVEL_PATHS",
        "true",
        "true or false",
        "Serve health, readiness and metrics at the top too, as load balancers ask for them",
    ),
    variable("MLOPS_DEBUG", "false", "true or false", "Serve the API without the prefix /api/v1"),
    variable("MLOPS_ENABLE_METRICS", "true", "true or false", "Serve the series at /metrics"),
    variable("MLOPS_DOCS_ENABLED", "true", "true or false", "Serve the API's documentation at /docs"),
    secret("MLOPS_API_KEY", "Key that callers must send as X-API-Key, or as Authorization: Bearer"),
    secret_file(
        "MLOPS_API_KEY_FILE",
        "File of such keys, in place of MLOPS_API_KEY: name: key a line, or one key alone; read again when it changes",
    ),
    variable(
        LIST_OF_OBJECTS,
        "",
        "a JSON list",
        "Limits by the names of keys, * for every other: [{\"name\": \"shop\", \"requestsPerSecond\": 10, \"burst\": 20, \
         \"concurrency\": 4}]",
    ),
    variable(
        "MLOPS_ALLOWED_ORIGINS",
        "",
        "a JSON or comma-separated list of origins like https://example.com, without *",
        "Origins that browsers may call from",
    ),
    variable(
        "MLOPS_LOG_LEVEL",
        "INFO",
        "TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL",
        "Least severe level that is logged",
    ),
    variable("MLOPS_LOG_FORMAT", "", "json or text", "How log lines are written; default json"),
    variable(
        "MLOPS_MAX_REQUEST_TIMEOUT",
        "30",
        "a whole number of seconds from 1 to 3600",
        "Longest time a request may take",
    ),
    variable(
        "MLOPS_MAX_CONNECTIONS",
        "8192",
        "a whole number of connections from 1 to 1000000",
        "Connections that may be open; one more is refused with 503, unless it is a probe's",
    ),
    variable(
        "MLOPS_HEADER_TIMEOUT",
        "10",
        "a whole number of seconds from 1 to 3600",
        "Longest time from a request's start to the end of its head",
    ),
    variable(
        "MLOPS_BODY_TIMEOUT",
        "10",
        "a whole number of seconds from 1 to 3600",
        "Longest wait for the next part of a body",
    ),
    variable(
        "MLOPS_KEEP_ALIVE_TIMEOUT",
        "75",
        "a whole number of seconds from 1 to 3600",
        "Longest time that a connection is kept between requests",
    ),
    variable(
        "MLOPS_WRITE_TIMEOUT",
        "30",
        "a whole number of seconds from 1 to 3600",
        "Longest wait for a client to take the next part of a response",
    ),
    variable(
        "MLOPS_ENABLE_TRACING",
        "",
        "true or false",
        "Send traces to a collector; default true when an endpoint is set",
    ),
    Variable {
        also: Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
        ..variable(
            "MLOPS_OTLP_ENDPOINT",
            "",
            "a URL like http://collector:4318, where OTLP is spoken over HTTP, without user, password and query: a \
             token belongs in MLOPS_OTLP_HEADERS or MLOPS_OTLP_HEADERS_FILE",
            "Collector of traces; default http://localhost:4318",
        )
    },
    Variable {
        also: Some("OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ..variable("MLOPS_OTLP_CA", "", "a path", "PEM file of authorities for the collector; default the system's")
    },
    secret("MLOPS_OTLP_HEADERS", "Headers for the collector, name=value separated by commas, such as its token"),
    secret_file(
        "MLOPS_OTLP_HEADERS_FILE",
        "File of such headers, in place of MLOPS_OTLP_HEADERS; read again when it changes",
    ),
    Variable {
        also: Some("OTEL_TRACES_SAMPLER_ARG"),
        ..variable(
            "MLOPS_TRACING_SAMPLE_RATIO",
            "1",
            "a number from 0 to 1",
            "Part of the traces that begin here which is recorded; 0 records none, whatever callers ask for",
        )
    },
    variable(
        "MLOPS_INFERENCE_LOG_URL",
        "",
        "a URL like http://logger.shop.svc/events, without user, password and query: a token belongs in \
         MLOPS_INFERENCE_LOG_HEADERS or MLOPS_INFERENCE_LOG_HEADERS_FILE",
        "Where each answer is posted to as CloudEvents, in the shape of KServe's logger; default nowhere",
    ),
    variable(
        "MLOPS_INFERENCE_LOG_STDOUT",
        "false",
        "true or false",
        "Write each answer as a line of JSON to standard output",
    ),
    variable(
        "MLOPS_INFERENCE_LOG_SAMPLE_RATIO",
        "1",
        "a number from 0 to 1",
        "Part of the answers that the inference log has",
    ),
    variable("MLOPS_INFERENCE_LOG_TEXT", "false", "true or false", "Log the texts too, which may be personal"),
    variable(
        "MLOPS_INFERENCE_LOG_CAPACITY",
        "10000",
        "a whole number of records from 1 to 1000000",
        "Records that may wait for a destination of the inference log; one more is dropped and counted",
    ),
    secret(
        "MLOPS_INFERENCE_LOG_HEADERS",
        "Headers for the receiver of the inference log, name=value separated by commas, such as its token",
    ),
    secret_file(
        "MLOPS_INFERENCE_LOG_HEADERS_FILE",
        "File of such headers, in place of MLOPS_INFERENCE_LOG_HEADERS; read again when it changes",
    ),
    variable(
        "MLOPS_INFERENCE_LOG_CA",
        "",
        "a path",
        "PEM file of authorities for the receiver of the inference log; default the system's",
    ),
    variable(
        "MLOPS_INFERENCE_LOG_SERVICE",
        "",
        "text",
        "Service that the inference log names; default the name of the model",
    ),
    variable("MLOPS_INFERENCE_LOG_NAMESPACE", "", "text", "Namespace that the inference log names"),
    variable("MLOPS_MAX_TEXT_LENGTH", "10000", "a whole number of characters from 1 to 10000", "Longest text"),
    variable(
        "MLOPS_DRAIN_SECONDS",
        "5",
        "a whole number of seconds from 0 to 3600",
        "How long to serve on after SIGTERM, not ready",
    ),
    variable(
        "MLOPS_TERMINATION_LOG",
        "/dev/termination-log",
        "a path",
        "File that tells Kubernetes why a start failed",
    ),
    variable("MLOPS_MODEL_NAME", "default", "text", "Name of the model in answers"),
    variable("MLOPS_MODEL_BACKEND", "onnx", "onnx", "Kept from version 1; onnx is the only backend"),
    variable(
        "MLOPS_ONNX_MODEL_PATH",
        "/app/model",
        "a path",
        "Model directory (config.json, tokenizer.json, an ONNX file), or the ONNX file in one",
    ),
    variable(
        "MLOPS_MODEL_DIGEST",
        "",
        "sha256: and 64 hexadecimal digits, as `sentiment-server model digest` prints it",
        "Digest that the model's files have to have, or nothing is served; default any",
    ),
    variable(
        "MLOPS_MAX_TOKENS",
        "",
        "a whole number of tokens from 4 to 8192",
        "Tokens that are read of a text at once; default the model's limit, at most 512",
    ),
    variable(
        "MLOPS_LONG_TEXTS",
        "cut",
        "cut, windows or refuse",
        "Of a text of more tokens: read the start, read all in windows, or refuse it",
    ),
    variable(
        "MLOPS_SPLIT_SPECIAL_TOKENS",
        "true",
        "true or false",
        "Read names of special tokens in a text, like [SEP], as text",
    ),
    variable(
        "MLOPS_LABELS",
        "",
        "a JSON or comma-separated list of names",
        "Class names by index; default id2label of config.json",
    ),
    variable(
        "MLOPS_NEUTRAL_BAND",
        "0",
        "a number from 0 to below 1",
        "Answer NEUTRAL when the winning probability is below this",
    ),
    variable(
        "MLOPS_PROBLEM_TYPE",
        "",
        "single_label_classification, multi_label_classification or regression",
        "What the model tells of a text; default problem_type of its config.json, else one label",
    ),
    variable(
        "MLOPS_THRESHOLD",
        "0.5",
        "a number from 0 to 1",
        "Score from which on a label holds, of a model of several labels",
    ),
    Variable {
        also: Some("MLOPS_ONNX_INTRA_OP_NUM_THREADS"),
        ..variable(
            "MLOPS_THREADS",
            "",
            "a whole number from 0 to 256",
            "Inference threads; default (or 0) one per usable CPU, cgroup quota counted",
        )
    },
    variable(
        "MLOPS_PREDICTION_CACHE_ENABLED",
        "true",
        "true or false",
        "Keep answers in memory and share runs of equal texts",
    ),
    variable(
        "MLOPS_PREDICTION_CACHE_MAX_SIZE",
        "1000",
        "a whole number of answers from 1 to 1000000",
        "Answers that are kept in memory",
    ),
    variable(
        "MLOPS_PREDICTION_CACHE_MAX_BYTES",
        "67108864",
        "a whole number of bytes from 1048576 to 68719476736",
        "Memory for the answers that are kept, whatever their number",
    ),
    variable("MLOPS_REDIS_ENABLED", "false", "true or false", "Share answers with other pods through Redis"),
    Variable {
        also: Some("REDIS_HOST"),
        ..variable(
            "MLOPS_REDIS_HOST",
            "localhost",
            "a host name or an IP address, without scheme and port",
            "Redis' host; REDIS_HOST is read in its place",
        )
    },
    variable("MLOPS_REDIS_PORT", "6379", "a whole number from 1 to 65535", "Redis' TCP port"),
    variable("MLOPS_REDIS_DB", "0", "a whole number from 0 to 65535", "Number of Redis' database"),
    variable("MLOPS_REDIS_USERNAME", "", "text", "User of Redis' access control; default its default user"),
    secret("MLOPS_REDIS_PASSWORD", "Password for Redis"),
    secret_file(
        "MLOPS_REDIS_PASSWORD_FILE",
        "File of that password, in place of MLOPS_REDIS_PASSWORD; read again when it changes",
    ),
    variable("MLOPS_REDIS_TLS", "false", "true or false", "Talk to Redis by TLS"),
    variable("MLOPS_REDIS_TLS_CA", "", "a path", "PEM file of the authorities to trust; default the system's"),
    variable(
        "MLOPS_REDIS_LOOKUP_TIMEOUT_MS",
        "50",
        "a whole number of milliseconds from 1 to 10000",
        "Longest wait for a lookup in Redis",
    ),
    variable(
        "MLOPS_REDIS_MAX_CONNECTIONS",
        "50",
        "a whole number from 1 to 10000",
        "Lookups in Redis at once; all share one connection",
    ),
    variable(
        "MLOPS_REDIS_NAMESPACE",
        "kubesentiment",
        "up to 64 printable ASCII characters without spaces",
        "What every key in Redis begins with",
    ),
    variable(
        "MLOPS_REDIS_PREDICTION_CACHE_TTL",
        "3600",
        "a whole number of seconds from 1 to 31536000",
        "How long Redis keeps an answer",
    ),
    variable(
        "MLOPS_MAX_BATCH_TOKENS",
        "768",
        "a whole number of tokens from 16 to 1048576",
        "Most tokens of one batch, padding included; batches are of half as many, but for a quantized model with many waiting",
    ),
    variable("MLOPS_MAX_BATCH_SIZE", "32", "a whole number of texts from 1 to 1024", "Texts of one batch"),
    variable(
        "MLOPS_QUEUE_CAPACITY",
        "256",
        "a whole number of texts from 1 to 100000",
        "Texts of up to 64 tokens, and longer ones, that may wait; one more is refused with 503",
    ),
    variable(
        "MLOPS_MAX_QUEUE_WAIT_MS",
        "2000",
        "a whole number of milliseconds from 1 to 3600000",
        "Longest that a text may have to wait for its turn; one that would wait longer is refused with 503",
    ),
    variable("MLOPS_ASYNC_BATCH_ENABLED", "true", "true or false", "Take batch jobs, which run in the background"),
    variable(
        "MLOPS_ASYNC_BATCH_MAX_JOBS",
        "1000",
        "a whole number of jobs from 1 to 10000",
        "Jobs that may be unfinished; one more is refused with 503",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_PRIORITY_HIGH_LIMIT",
        "100",
        "a whole number of jobs from 1 to 10000",
        "Jobs of high priority that may wait",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT",
        "500",
        "a whole number of jobs from 1 to 10000",
        "Jobs of medium priority that may wait",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_PRIORITY_LOW_LIMIT",
        "1000",
        "a whole number of jobs from 1 to 10000",
        "Jobs of low priority that may wait",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_MAX_BATCH_SIZE",
        "1000",
        "a whole number of texts from 1 to 10000",
        "Texts of a job that are run at once, at most, when its caller sends no max_batch_size",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS",
        "300",
        "a whole number of seconds from 10 to 3600",
        "Time that a job has when its caller sends no timeout_seconds",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS",
        "60",
        "a whole number of seconds from 1 to 3600",
        "How often memory of expired jobs is given back when nobody asks for a job",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_CACHE_TTL_SECONDS",
        "3600",
        "a whole number of seconds from 1 to 86400",
        "How long a job that has ended is kept with its results",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_RESULT_CACHE_MAX_SIZE",
        "1000",
        "a whole number of jobs from 1 to 10000",
        "Jobs that have ended and are kept; one more takes the place of the oldest",
    ),
    variable(
        "MLOPS_ASYNC_BATCH_MAX_BYTES",
        "67108864",
        "a whole number of bytes from 8388608 to 68719476736",
        "Memory for the texts and results of all jobs",
    ),
    variable("MLOPS_DRIFT_DETECTION_ENABLED", "true", "true or false", "Compare predictions with a baseline"),
    variable(
        "MLOPS_DRIFT_WINDOW_SIZE",
        "1000",
        "a whole number of predictions from 100 to 10000",
        "Latest predictions that are compared with the baseline",
    ),
    variable(
        "MLOPS_DRIFT_MIN_SAMPLES",
        "500",
        "a whole number of predictions from 10 to 10000",
        "Predictions from which on they are compared; a full window always is",
    ),
    variable(
        "MLOPS_DRIFT_PSI_THRESHOLD",
        "0.1",
        "a number from 0 to 10",
        "A population stability index above this is drift",
    ),
    variable(
        "MLOPS_DRIFT_KS_THRESHOLD",
        "0.05",
        "a number from 0 to 1",
        "A p-value of the Kolmogorov-Smirnov test below this is drift",
    ),
    variable(
        "MLOPS_DRIFT_BASELINE_PATH",
        "",
        "a path",
        "Baseline of --make-drift-baseline; default drift-baseline.json in /app/config or the model directory, else \
         the first full window",
    ),
    variable(
        "MLOPS_FEEDBACK_LOG_CONTENT",
        "false",
        "true or false",
        "Log a feedback's text, comments and user too, which may be personal data",
    ),
];

impl Variable {
    /// Its key in a file: the name without `MLOPS_`, in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.trim_start_matches(PREFIX).to_ascii_lowercase()
    }

    /// Whether it is a list of objects.
    pub(super) fn holds_objects(&self) -> bool {
        self.name == LIST_OF_OBJECTS
    }
}

const PREFIX: &str = "MLOPS_";

/// The variable whose list has objects in it.
const LIST_OF_OBJECTS: &str = "MLOPS_API_KEY_LIMITS";

/// How keys are made of variables, as the end of a sentence.
pub(super) const KEY_RULE: &str = "a key is the name of a variable in lower case without MLOPS_, and \
    sentiment-server --help lists the variables";

/// The entry for a name.
pub(super) fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name || variable.also == Some(name))
}

/// The variable that names a secret's file.
pub(super) fn file_form(name: &str) -> Option<&'static Variable> {
    let stem = |variable: &Variable| variable.name.strip_suffix("_FILE") == Some(name);
    VARIABLES.iter().find(|variable| variable.secrecy == Secrecy::SecretFile && stem(variable))
}

/// The entry for a key of a file.
pub(super) fn find_key(key: &str) -> Option<&'static Variable> {
    in_files().find(|variable| variable.key() == key)
}

/// The keys of secrets and of their files.
pub(super) fn secret_keys() -> impl Iterator<Item = String> {
    VARIABLES.iter().filter(|variable| variable.secrecy != Secrecy::Open).map(Variable::key)
}

/// Variables that a file may set.
fn in_files() -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().filter(|variable| variable.name != CONFIG_DIR)
}

/// The known key that one is probably meant to be: the variable's own or other name, another
/// spelling of it, the part of a group that stands for the whole, or one that resembles it.
pub(super) fn nearest_key(key: &str) -> Option<String> {
    let upper = key.replace(['-', '.'], "_").to_ascii_uppercase();
    let name = format!("{PREFIX}{}", upper.trim_start_matches(PREFIX));
    if let Some(variable) = find(&name).filter(|variable| variable.name != CONFIG_DIR) {
        return Some(variable.key());
    }
    let group = format!("{name}_");
    let member = in_files().find(|variable| variable.name.starts_with(&group));
    member.map(Variable::key).or_else(|| {
        let near = find(nearest(&name)?).filter(|variable| variable.name != CONFIG_DIR);
        near.map(Variable::key)
    })
}

/// The known name that a mistyped one most resembles, if any is near.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    VARIABLES
        .iter()
        .map(|variable| (strsim::jaro_winkler(name, variable.name), variable.name))
        .filter(|(likeness, _)| *likeness > 0.93)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, near)| near)
}
