//! The environment of the server's container.

use k8s_openapi::api::core::v1::EnvVar;

use super::{
    model::{self, Delivered},
    ports,
    secret_files::{self, SecretFolder},
};
use crate::validate::{InferenceLog, Redis, ValidatedService};

/// The operator's variables in a fixed order, then the user's, which win over one of the same name.
pub(super) fn build(service: &ValidatedService, delivered: &Delivered) -> Vec<EnvVar> {
    let ours = [
        listening(service),
        identity(service),
        model(service),
        given(model::variables(service, delivered)),
        server(service),
        cache(service),
        limits(service),
        service.inference_log.as_ref().map(|log| inference_log(service, log)).unwrap_or_default(),
        secrets(service),
    ]
    .concat();
    ours.into_iter()
        .filter(|ours| service.env.iter().all(|variable| variable.name != ours.name))
        .chain(service.env.iter().cloned())
        .collect()
}

/// What probes, Service and scrape rely on. An entry here goes before one of `envFrom` and before the files of a
/// ConfigMap, which often have what a predecessor's Deployment needed.
fn listening(service: &ValidatedService) -> Vec<EnvVar> {
    given([
        // Every address of both families; the server has no word for it but none.
        ("MLOPS_HOST", Some(String::new())),
        ("MLOPS_PORT", text(Some(ports::HTTP_NUMBER))),
        ("MLOPS_GRPC_PORT", text(service.grpc_port.map(|_| ports::GRPC_NUMBER))),
        ("MLOPS_MANAGEMENT_PORT", text(Some(ports::MANAGEMENT_NUMBER))),
        ("MLOPS_DEBUG", text(Some(service.path_prefix.is_empty()))),
    ])
}

fn identity(service: &ValidatedService) -> Vec<EnvVar> {
    let debug_routes = service.path_prefix.is_empty();
    let settings = [
        ("MLOPS_PROFILE", Some(service.profile.as_str().to_owned())),
        ("MLOPS_PROTOCOLS", protocols(service)),
        // The image has the path with the prefix, for whoever runs the health check in the pod.
        ("HEALTHCHECK_PATH", debug_routes.then(|| "/health".to_owned())),
    ];
    given(settings)
}

fn model(service: &ValidatedService) -> Vec<EnvVar> {
    given([
        ("MLOPS_MODEL_NAME", Some(service.model_name.clone())),
        ("MLOPS_MAX_TOKENS", text(service.model.max_tokens)),
        ("MLOPS_LABELS", list(&service.model.labels)),
        ("MLOPS_NEUTRAL_BAND", text(service.model.neutral_band)),
    ])
}

fn server(service: &ValidatedService) -> Vec<EnvVar> {
    let server = &service.server;
    let batching = server.batching.clone().unwrap_or_default();
    given([
        ("MLOPS_DRAIN_SECONDS", text(Some(service.drain_seconds))),
        ("MLOPS_MAX_REQUEST_TIMEOUT", text(Some(service.request_timeout))),
        ("MLOPS_MAX_BATCH_TOKENS", text(batching.max_batch_tokens)),
        ("MLOPS_MAX_BATCH_SIZE", text(batching.max_batch_size)),
        ("MLOPS_QUEUE_CAPACITY", text(batching.queue_capacity)),
        ("MLOPS_THREADS", text(service.threads)),
        ("MLOPS_MAX_TEXT_LENGTH", text(server.max_text_length)),
        ("MLOPS_LOG_LEVEL", server.log_level.map(|level| level.as_str().to_owned())),
        ("MLOPS_ALLOWED_ORIGINS", list(&server.allowed_origins)),
    ])
}

fn cache(service: &ValidatedService) -> Vec<EnvVar> {
    let entries = service.cache.memory_entries;
    let memory = given([
        ("MLOPS_PREDICTION_CACHE_ENABLED", entries.map(|entries| (entries > 0).to_string())),
        ("MLOPS_PREDICTION_CACHE_MAX_SIZE", text(entries.filter(|entries| *entries > 0))),
    ]);
    memory.into_iter().chain(service.cache.redis.iter().flat_map(redis)).collect()
}

fn redis(redis: &Redis) -> Vec<EnvVar> {
    given([
        ("MLOPS_REDIS_ENABLED", Some(true.to_string())),
        ("MLOPS_REDIS_HOST", Some(redis.host.clone())),
        ("MLOPS_REDIS_PORT", text(Some(redis.port))),
        ("MLOPS_REDIS_DB", text(Some(redis.database))),
        ("MLOPS_REDIS_TLS", text(Some(redis.tls))),
        ("MLOPS_REDIS_PREDICTION_CACHE_TTL", text(Some(redis.ttl))),
    ])
}

/// The names of the fields are the server's.
fn limits(service: &ValidatedService) -> Vec<EnvVar> {
    let limits = service.auth.as_ref().map(|auth| &auth.limits).filter(|limits| !limits.is_empty());
    given([("MLOPS_API_KEY_LIMITS", limits.map(|limits| serde_json::json!(limits).to_string()))])
}

fn inference_log(service: &ValidatedService, log: &InferenceLog) -> Vec<EnvVar> {
    given([
        ("MLOPS_INFERENCE_LOG_URL", log.endpoint.as_ref().map(|endpoint| endpoint.url.clone())),
        ("MLOPS_INFERENCE_LOG_STDOUT", text(Some(log.stdout))),
        ("MLOPS_INFERENCE_LOG_SAMPLE_RATIO", text(log.sample_ratio)),
        ("MLOPS_INFERENCE_LOG_TEXT", text(Some(log.text))),
        ("MLOPS_INFERENCE_LOG_CAPACITY", text(log.capacity)),
        ("MLOPS_INFERENCE_LOG_SERVICE", Some(service.name.clone())),
        ("MLOPS_INFERENCE_LOG_NAMESPACE", Some(service.namespace.clone())),
    ])
}

/// The kubelet reads the Secrets, and the operator never does.
fn secrets(service: &ValidatedService) -> Vec<EnvVar> {
    let variable = |folder: &SecretFolder<'_>| {
        let path = folder.path();
        let files = folder.files.iter();
        files.flat_map(move |file| given([(file.variable, Some(format!("{path}/{}", file.name)))])).collect::<Vec<_>>()
    };
    secret_files::of(service).iter().flat_map(variable).collect()
}

fn protocols(service: &ValidatedService) -> Option<String> {
    let names: Vec<&str> = service.protocols.iter().map(|protocol| protocol.as_str()).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The variables that have a value.
fn given<const N: usize>(settings: [(&str, Option<String>); N]) -> Vec<EnvVar> {
    settings
        .into_iter()
        .filter_map(|(name, value)| Some(EnvVar { name: name.to_owned(), value: Some(value?), value_from: None }))
        .collect()
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// A JSON list of texts can't fail to be written.
fn list(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| serde_json::json!(texts).to_string())
}
