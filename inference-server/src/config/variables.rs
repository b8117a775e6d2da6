//! The table of environment variables: what `--help` and `--print-config` show.

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
    /// Never printed.
    pub secret: bool,
}

const fn variable(name: &'static str, default: &'static str, allowed: &'static str, help: &'static str) -> Variable {
    Variable { name, also: None, default, allowed, help, secret: false }
}

/// Every variable, in the order of `--help`.
pub const VARIABLES: &[Variable] = &[
    variable(
        "MLOPS_PROFILE",
        "production",
        "local, development, staging or production",
        "Where the service runs; local logs as text",
    ),
    variable("MLOPS_HOST", "0.0.0.0", "an IP address or localhost", "Address to listen on; :: takes IPv4 and IPv6"),
    variable("MLOPS_PORT", "8000", "a whole number from 0 to 65535", "TCP port to listen on"),
    variable("MLOPS_DEBUG", "false", "true or false", "Serve the API without the prefix /api/v1"),
    variable("MLOPS_DOCS_ENABLED", "true", "true or false", "Serve the API's documentation at /docs"),
    Variable { secret: true, ..variable("MLOPS_API_KEY", "", "text", "Key that callers must send as X-API-Key") },
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
    variable("MLOPS_MAX_TEXT_LENGTH", "512", "a whole number of characters from 1 to 10000", "Longest text"),
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
        "MLOPS_MAX_TOKENS",
        "",
        "a whole number of tokens from 4 to 8192",
        "Tokens a text is cut to; default the model's limit, at most 512",
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
    Variable {
        also: Some("MLOPS_ONNX_INTRA_OP_NUM_THREADS"),
        ..variable(
            "MLOPS_THREADS",
            "",
            "a whole number from 0 to 256",
            "Inference threads; default (or 0) one per usable CPU, cgroup quota counted",
        )
    },
    variable("MLOPS_PREDICTION_CACHE_ENABLED", "true", "true or false", "Keep answers and share runs of equal texts"),
    variable(
        "MLOPS_PREDICTION_CACHE_MAX_SIZE",
        "1000",
        "a whole number of answers from 1 to 1000000",
        "Answers that are kept",
    ),
    variable(
        "MLOPS_MAX_BATCH_TOKENS",
        "256",
        "a whole number of tokens from 16 to 1048576",
        "Tokens of one batch, padding included",
    ),
    variable("MLOPS_MAX_BATCH_SIZE", "32", "a whole number of texts from 1 to 1024", "Texts of one batch"),
    variable(
        "MLOPS_QUEUE_CAPACITY",
        "256",
        "a whole number of texts from 1 to 100000",
        "Texts that may wait; one more is refused with 503",
    ),
];

/// The entry for a name.
pub(super) fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name || variable.also == Some(name))
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
