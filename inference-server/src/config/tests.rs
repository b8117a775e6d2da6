use std::path::Path;

use ::model::LongTexts;

use super::*;
use crate::secrets::Shown;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(&environment(pairs))
}

#[test]
fn defaults_are_the_predecessors() {
    let config = read(&[]).unwrap();
    assert_eq!((config.host, config.management_port, config.top_level_paths), (Host::Every, None, true));
    assert_eq!(config.port, 8000);
    assert_eq!(config.prefix(), "/api/v1");
    assert_eq!(config.request_timeout, Duration::from_secs(30));
    assert_eq!(config.max_text_length, 10_000);
    assert_eq!((config.model.long_texts, config.model.split_special_tokens), (LongTexts::Cut, true));
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(config.api_keys.is_none());
    assert_eq!(config.cache_entries, Some(1000));
    assert!(config.allowed_origins.is_empty());
    assert!(config.playground.unwrap().origins.is_empty());
    let drift = config.drift.unwrap();
    assert_eq!((drift.window_size, drift.psi_threshold, drift.ks_threshold), (1000, 0.1, 0.05));
    assert!(!config.feedback_log_content);
}

#[test]
fn every_default_is_a_value_that_is_allowed() {
    for variable in variables().filter(|variable| !variable.default.is_empty()) {
        read(&[(variable.name, variable.default)]).unwrap();
    }
}

#[test]
fn good_values() {
    let config = read(&[("MLOPS_PROFILE", "Local"), ("MLOPS_DEBUG", "True")]).unwrap();
    assert_eq!(config.profile, Profile::Local);
    assert_eq!(config.prefix(), "");
    assert_eq!(config.log_format, LogFormat::Text);
    let config = read(&[("MLOPS_LOG_LEVEL", "warning"), ("MLOPS_HOST", "localhost")]).unwrap();
    assert_eq!(config.log_level, Level::WARN);
    assert_eq!(config.host, Host::Localhost);
    let config = read(&[("MLOPS_LABELS", "bad, good"), ("MLOPS_PORT", " 8080 ")]).unwrap();
    assert_eq!(config.model.labels.unwrap(), ["bad", "good"]);
    for (value, expected) in [("Cut", LongTexts::Cut), ("windows", LongTexts::Windows), ("REFUSE", LongTexts::Refuse)] {
        assert_eq!(read(&[("MLOPS_LONG_TEXTS", value)]).unwrap().model.long_texts, expected);
    }
    assert_eq!(read(&[("MLOPS_PREDICTION_CACHE_ENABLED", "False")]).unwrap().cache_entries, None);
    assert_eq!(config.port, 8080);
    assert_eq!(read(&[("MLOPS_PORT", "")]).unwrap().port, 8000);
    assert_eq!(read(&[("MLOPS_THREADS", "0")]).unwrap().engine.threads, None);
    assert_eq!(read(&[("MLOPS_DRIFT_DETECTION_ENABLED", "off")]).unwrap().drift, None);
    let drift = read(&[("MLOPS_DRIFT_BASELINE_PATH", "/a/b.json")]).unwrap().drift.unwrap();
    assert_eq!(drift.baseline, Some("/a/b.json".into()));
}

#[test]
fn a_host_is_what_it_says() {
    for (written, meant) in
        [("0.0.0.0", "0.0.0.0"), ("::", "::"), ("[::1]", "::1"), ("fd00::1", "fd00::1"), ("10.0.0.1", "10.0.0.1")]
    {
        assert_eq!(read(&[("MLOPS_HOST", written)]).unwrap().host, Host::Address(meant.parse().unwrap()));
    }
    assert_eq!(read(&[("MLOPS_HOST", "")]).unwrap().host, Host::Every);
}

#[test]
fn each_port_is_another() {
    let read = |port: &str| read(&[("MLOPS_PORT", port), ("MLOPS_MANAGEMENT_PORT", "8081")]);
    assert_eq!(read("8080").unwrap().management_port, Some(8081));
    assert_eq!(
        read("8081").unwrap_err().to_string(),
        "MLOPS_MANAGEMENT_PORT is 8081, which is MLOPS_PORT already: set another"
    );
    assert!(read("8001").unwrap_err().to_string().starts_with("MLOPS_GRPC_PORT is 8001, which is MLOPS_PORT"));
    // Of ports that the kernel chooses none is another's.
    let chosen = self::read(&[("MLOPS_PORT", "0"), ("MLOPS_MANAGEMENT_PORT", "0"), ("MLOPS_GRPC_PORT", "0")]).unwrap();
    assert_eq!((chosen.management_port, chosen.grpc_port), (Some(0), Some(0)));
    let without = self::read(&[("MLOPS_PORT", "8001"), ("MLOPS_PROTOCOLS", "native,oip")]).unwrap();
    assert_eq!(without.grpc_port, None);
}

#[test]
fn redis_is_off_until_it_is_asked_for() {
    for host in ["redis", "redis://another-programs:6379"] {
        assert!(read(&[("REDIS_HOST", host)]).unwrap().redis.is_none());
    }
    let redis = |pairs: &[(&str, &str)]| {
        let all: Vec<_> = pairs.iter().copied().chain([("MLOPS_REDIS_ENABLED", "true")]).collect();
        read(&all).unwrap().redis.unwrap()
    };
    let defaults = redis(&[]);
    assert_eq!((defaults.host.as_str(), defaults.port, defaults.database), ("localhost", 6379, 0));
    assert_eq!((defaults.namespace.as_str(), defaults.ttl.as_secs()), ("kubesentiment", 3600));
    assert_eq!((defaults.lookups_in_flight, defaults.lookup_time.as_millis()), (50, 50));
    assert!(defaults.tls.is_none() && defaults.password.is_none() && defaults.username.is_none());

    assert_eq!(redis(&[("REDIS_HOST", "unprefixed")]).host, "unprefixed");
    assert_eq!(redis(&[("REDIS_HOST", "unprefixed"), ("MLOPS_REDIS_HOST", "prefixed")]).host, "prefixed");
    assert_eq!(redis(&[("MLOPS_REDIS_HOST", "[::1]")]).host, "::1");
    let secret = redis(&[("MLOPS_REDIS_PASSWORD", "hunter2")]);
    assert_eq!(secret.password.as_ref().unwrap().current().expose(), "hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
    let authority = ("MLOPS_REDIS_TLS_CA", "/ca.crt");
    let tls = redis(&[("MLOPS_REDIS_TLS", "true"), authority]).tls.unwrap();
    assert_eq!(tls.authorities.unwrap().to_str(), Some("/ca.crt"));
    assert_eq!(
        read(&[authority]).unwrap_err().to_string(),
        "MLOPS_REDIS_TLS_CA is set, but has no effect unless MLOPS_REDIS_TLS is true"
    );
}

#[test]
fn origins_in_both_spellings() {
    for list in [r#"["https://a.example","http://b.example:8080"]"#, "https://a.example, http://b.example:8080"] {
        let config = read(&[("MLOPS_ALLOWED_ORIGINS", list), ("MLOPS_PLAYGROUND_ORIGINS", list)]).unwrap();
        assert_eq!(config.allowed_origins, ["https://a.example", "http://b.example:8080"]);
        assert_eq!(config.playground.unwrap().origins, config.allowed_origins);
    }
}

#[test]
fn a_bad_value_is_one_sentence_that_names_variable_value_and_what_is_allowed() {
    let cases = [
        ("MLOPS_PROFILE", "prod"),
        ("MLOPS_HOST", "nowhere"),
        ("MLOPS_HOST", "[127.0.0.1]"),
        ("MLOPS_MANAGEMENT_PORT", "off"),
        ("MLOPS_MANAGEMENT_PORT", "65536"),
        ("MLOPS_TOP_LEVEL_PATHS", "some"),
        ("MLOPS_PORT", "http"),
        ("MLOPS_PORT", "70000"),
        ("MLOPS_DEBUG", "maybe"),
        ("MLOPS_ALLOWED_ORIGINS", "*"),
        ("MLOPS_ALLOWED_ORIGINS", r#"["*"]"#),
        ("MLOPS_ALLOWED_ORIGINS", "https://*.example"),
        ("MLOPS_ALLOWED_ORIGINS", "https://a.example/path"),
        ("MLOPS_ALLOWED_ORIGINS", "[1]"),
        ("MLOPS_PLAYGROUND_ENABLED", "maybe"),
        ("MLOPS_PLAYGROUND_ORIGINS", "*"),
        ("MLOPS_PLAYGROUND_ORIGINS", "https://a.example;script-src"),
        ("MLOPS_PLAYGROUND_ORIGINS", "https://a.example/'unsafe-inline'"),
        ("MLOPS_LOG_LEVEL", "loud"),
        ("MLOPS_LOG_FORMAT", "xml"),
        ("MLOPS_MAX_REQUEST_TIMEOUT", "0"),
        ("MLOPS_MAX_CONNECTIONS", "0"),
        ("MLOPS_HEADER_TIMEOUT", "0"),
        ("MLOPS_BODY_TIMEOUT", "3601"),
        ("MLOPS_KEEP_ALIVE_TIMEOUT", "long"),
        ("MLOPS_WRITE_TIMEOUT", "-1"),
        ("MLOPS_ENABLE_TRACING", "2"),
        ("MLOPS_OTLP_ENDPOINT", "collector:4317"),
        ("MLOPS_OTLP_ENDPOINT", "grpc://collector:4317"),
        ("MLOPS_OTLP_ENDPOINT", "http://collector:4318/?a=b"),
        ("MLOPS_TRACING_SAMPLE_RATIO", "1.5"),
        ("MLOPS_MAX_TEXT_LENGTH", "10001"),
        ("MLOPS_DRAIN_SECONDS", "-1"),
        ("MLOPS_MODEL_BACKEND", "pytorch"),
        ("MLOPS_MAX_TOKENS", "3"),
        ("MLOPS_LONG_TEXTS", "true"),
        ("MLOPS_SPLIT_SPECIAL_TOKENS", "split"),
        ("MLOPS_NEUTRAL_BAND", "1"),
        ("MLOPS_NEUTRAL_BAND", "NaN"),
        ("MLOPS_LABELS", "a,,b"),
        ("MLOPS_DROP_LABELS", "NEUTRAL,"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "2"),
        ("MLOPS_PREDICTION_CACHE_MAX_SIZE", "0"),
        ("MLOPS_PREDICTION_CACHE_MAX_BYTES", "1000000"),
        ("MLOPS_THREADS", "257"),
        ("MLOPS_MAX_BATCH_TOKENS", "15"),
        ("MLOPS_MAX_BATCH_SIZE", "0"),
        ("MLOPS_QUEUE_CAPACITY", "1e3"),
        ("MLOPS_REDIS_ENABLED", "maybe"),
        ("MLOPS_REDIS_HOST", "redis://redis"),
        ("MLOPS_REDIS_HOST", "redis:6379"),
        ("MLOPS_REDIS_PORT", "0"),
        ("MLOPS_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("MLOPS_REDIS_DB", "-1"),
        ("MLOPS_REDIS_TLS", "starttls"),
        ("MLOPS_REDIS_MAX_CONNECTIONS", "0"),
        ("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", "10001"),
        ("MLOPS_REDIS_NAMESPACE", "two words"),
        ("MLOPS_REDIS_PREDICTION_CACHE_TTL", "0"),
        ("MLOPS_ASYNC_BATCH_ENABLED", "maybe"),
        ("MLOPS_ASYNC_BATCH_MAX_JOBS", "0"),
        ("MLOPS_ASYNC_BATCH_PRIORITY_HIGH_LIMIT", "10001"),
        ("MLOPS_ASYNC_BATCH_PRIORITY_MEDIUM_LIMIT", "0"),
        ("MLOPS_ASYNC_BATCH_PRIORITY_LOW_LIMIT", "-1"),
        ("MLOPS_ASYNC_BATCH_MAX_BATCH_SIZE", "0"),
        ("MLOPS_ASYNC_BATCH_DEFAULT_TIMEOUT_SECONDS", "9"),
        ("MLOPS_ASYNC_BATCH_CLEANUP_INTERVAL_SECONDS", "0"),
        ("MLOPS_ASYNC_BATCH_CACHE_TTL_SECONDS", "86401"),
        ("MLOPS_ASYNC_BATCH_RESULT_CACHE_MAX_SIZE", "0"),
        ("MLOPS_ASYNC_BATCH_MAX_BYTES", "1000000"),
        ("MLOPS_DRIFT_DETECTION_ENABLED", "perhaps"),
        ("MLOPS_DRIFT_WINDOW_SIZE", "99"),
        ("MLOPS_DRIFT_MIN_SAMPLES", "10001"),
        ("MLOPS_DRIFT_PSI_THRESHOLD", "-0.1"),
        ("MLOPS_DRIFT_KS_THRESHOLD", "NaN"),
        ("MLOPS_FEEDBACK_LOG_CONTENT", "text"),
    ];
    for (name, value) in cases {
        let sentence = read(&[("MLOPS_REDIS_ENABLED", "true"), (name, value)]).unwrap_err().to_string();
        let allowed = variables().find(|variable| variable.name == name).unwrap().allowed();
        let shown = Shown::from(value);
        assert_eq!(sentence, format!("{name} is {shown:?}, but must be {allowed}"));
    }
}

#[test]
fn a_secret_is_never_shown() {
    let settings = Settings::from(environment(&[("MLOPS_API_KEY", "hunter2")]));
    let config = Config::of(&settings).unwrap();
    assert!(config.api_keys.as_ref().unwrap().current().name_of(b"hunter2").is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
    let printed = Reader::new(&settings).print();
    assert!(!printed.contains("hunter2") && printed.contains("MLOPS_API_KEY=***"), "{printed}");
}

#[test]
fn the_other_name_of_a_variable_is_read_and_named_when_it_is_wrong() {
    let other = "MLOPS_ONNX_INTRA_OP_NUM_THREADS";
    assert_eq!(read(&[(other, "3")]).unwrap().engine.threads, Some(3));
    assert_eq!(read(&[(other, "3"), ("MLOPS_THREADS", "2")]).unwrap().engine.threads, Some(2));
    let sentence = read(&[(other, "many")]).unwrap_err().to_string();
    assert_eq!(sentence, format!("{other} is \"many\", but must be a whole number from 0 to 256"));
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let environment = environment(&[
        ("MLOPS_MAX_BATCH_TOKEN", "1"),
        ("MLOPS_KAFKA_ENABLED", "true"),
        ("HOME", "/"),
        ("MLOPS_PORT", "1"),
    ]);
    assert_eq!(
        Reader::new(&environment.into()).without_effect(),
        [
            "MLOPS_KAFKA_ENABLED is not a known variable and has no effect",
            "MLOPS_MAX_BATCH_TOKEN is not a known variable and has no effect; did you mean MLOPS_MAX_BATCH_TOKENS?",
        ]
    );
}

#[test]
fn jobs_have_the_predecessors_defaults_and_can_be_turned_off() {
    let jobs = read(&[]).unwrap().jobs.unwrap();
    let limits = [jobs.queue_limits.high, jobs.queue_limits.medium, jobs.queue_limits.low];
    assert_eq!((jobs.max_jobs, limits), (1000, [100, 500, 1000]));
    assert_eq!((jobs.max_batch_size, jobs.default_timeout), (1000, Duration::from_mins(5)));
    assert_eq!((jobs.kept_jobs, jobs.time_to_live), (1000, Duration::from_hours(1)));
    assert_eq!((jobs.cleanup_interval, jobs.max_bytes), (Duration::from_mins(1), 64 << 20));
    assert!(read(&[("MLOPS_ASYNC_BATCH_ENABLED", "false")]).unwrap().jobs.is_none());
    // Keys and nesting of the file that the predecessor's guide shows.
    let file = "
async_batch:
  enabled: true
  max_jobs: 1000
  max_batch_size: 1000
  default_timeout_seconds: 300
  priority_high_limit: 100
  priority_medium_limit: 500
  priority_low_limit: 1000
  cache_ttl_seconds: 3600
  result_cache_max_size: 1000
";
    assert_eq!(parse_file(file).unwrap().len(), 9);
}

#[test]
fn traces_go_where_an_endpoint_is_set() {
    let endpoint = |pairs: &[(&str, &str)]| read(pairs).unwrap().tracing.map(|tracing| tracing.endpoint);
    assert_eq!(endpoint(&[]), None);
    assert_eq!(endpoint(&[("MLOPS_ENABLE_TRACING", "true")]).unwrap(), "http://localhost:4318/v1/traces");
    for (written, meant) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://example.com/otlp", "https://example.com/otlp/v1/traces"),
        ("https://example.com/otlp/v1/traces", "https://example.com/otlp/v1/traces"),
    ] {
        assert_eq!(endpoint(&[("MLOPS_OTLP_ENDPOINT", written)]).unwrap(), meant);
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", written)]).unwrap(), meant);
        assert_eq!(endpoint(&[("MLOPS_OTLP_ENDPOINT", written), ("MLOPS_ENABLE_TRACING", "false")]), None);
    }
}

/// `make settings` writes it.
#[test]
fn the_documented_table_is_that_of_the_declarations() {
    let mut page = String::from(
        "# Settings of the server\n\nMade by `make settings` from the declarations in `inference-server/src/config`. How they are \
         given, in variables and files, and more of\nsome of them: [server.md](server.md#settings).\n\n\
         | variable | default | may be | what it does |\n|---|---|---|---|\n",
    );
    for variable in variables() {
        let also = variable.also.map(|also| format!(", or `{also}`")).unwrap_or_default();
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let secrecy = if variable.secrecy == Secrecy::Secret { ", secret" } else { "" };
        let allowed = variable.allowed();
        page += &format!("| `{}`{also} | {default} | {allowed}{secrecy} | {} |\n", variable.name, variable.help);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    if std::env::var_os("UPDATE_SETTINGS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page, "docs/settings.md is not what the settings make: make settings");
}
