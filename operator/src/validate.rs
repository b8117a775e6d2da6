//! Turns a spec into a [`ValidatedService`], a type that can't be wrong.
//!
//! The Custom Resource Definition makes the API server refuse most mistakes before they are
//! stored. The rules are checked again here for objects that were stored before a rule existed,
//! and because a typed value spares every later step the doubt.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::EnvVar, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt};
use thiserror::Error;

use crate::{
    api::{
        Image, InvalidQuantity, ModelSource, Probe, Profile, PullPolicy, Quantity, QuantityMap, Resources,
        SentimentService, Server, ServiceType,
    },
    image::{ImageReference, InvalidImage},
};

/// Name of the model when the spec gives none.
const DEFAULT_MODEL_NAME: &str = "default";
/// A loss of one pod, or a rollout, must interrupt nobody.
const DEFAULT_REPLICAS: i32 = 2;
/// The port of the Service and of the server, as the predecessor has it.
pub const DEFAULT_PORT: i32 = 8000;
/// The server's own default of `MLOPS_DRAIN_SECONDS`.
const DEFAULT_DRAIN_SECONDS: i32 = 5;
/// The server's own default of `MLOPS_MAX_REQUEST_TIMEOUT`.
const DEFAULT_REQUEST_TIMEOUT: i32 = 30;
/// Request and limit by resource name, from the predecessor's deployment guide.
const DEFAULT_RESOURCES: [(&str, &str, &str); 2] = [("cpu", "250m", "500m"), ("memory", "512Mi", "1Gi")];

/// Why a spec can't be built.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// The object has no uid or namespace: it never came from an API server.
    #[error("metadata.{0} is missing")]
    Metadata(&'static str),
    /// The name is no DNS label.
    #[error(
        "metadata.name \"{0}\" can't be the name of a Service: use at most 63 lower case letters, digits and '-', and begin with a letter"
    )]
    Name(String),
    /// A number is out of its range.
    #[error("spec.{field} is {value}; set it to a number from {min} to {max}")]
    OutOfRange {
        /// Path below `spec`.
        field: &'static str,
        /// What it is.
        value: i32,
        /// Smallest value that is allowed.
        min: i32,
        /// Largest value that is allowed.
        max: i32,
    },
    /// Not exactly one model source is set.
    #[error("spec.model.source names no source: set exactly one, such as builtin: {{}}")]
    ModelSource,
    /// The image can't be named.
    #[error("spec.image: {0}")]
    Image(#[from] InvalidImage),
    /// A quantity can't be read.
    #[error("spec.resources.{list}.{name}: {source}")]
    Quantity {
        /// `requests` or `limits`.
        list: &'static str,
        /// Resource name.
        name: String,
        /// What is wrong with it.
        source: InvalidQuantity,
    },
    /// A request is larger than its limit.
    #[error(
        "spec.resources.requests.{name} {request} exceeds spec.resources.limits.{name} {limit}: lower the request or raise the limit"
    )]
    RequestOverLimit {
        /// Resource name.
        name: String,
        /// The request.
        request: Quantity,
        /// The limit.
        limit: Quantity,
    },
    /// A pod label would collide with the operator's own.
    #[error("spec.podMetadata.labels: {0} is the operator's own label: choose another key")]
    ReservedLabel(String),
    /// An environment variable is listed twice.
    #[error("spec.env lists {0} twice: keep one")]
    DuplicateEnv(String),
    /// An origin isn't one.
    #[error(
        "spec.server.allowedOrigins: \"{0}\" is not an origin: write a scheme and a host, such as https://shop.example.com, without a path and without '*'"
    )]
    Origin(String),
}

/// A service that can be built: every default is filled in and every rule holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedService {
    /// Name of the custom resource and of each child.
    pub name: String,
    /// Namespace of the custom resource and of each child.
    pub namespace: String,
    /// What makes the children go when the custom resource goes.
    pub owner: OwnerReference,
    /// `metadata.generation` of the spec.
    pub generation: Option<i64>,
    /// The server image.
    pub image: ImageReference,
    /// When the kubelet pulls the image.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
    /// The server's defaults.
    pub profile: Profile,
    /// Name of the model in predictions and metrics.
    pub model_name: String,
    /// Pods to run; zero when suspended.
    pub replicas: i32,
    /// Whether the zero comes from `suspend`.
    pub suspended: bool,
    /// Requests by resource name.
    pub requests: QuantityMap,
    /// Limits by resource name; never below a request.
    pub limits: QuantityMap,
    /// Server settings that were given.
    pub server: Server,
    /// Seconds that a stopping pod goes on serving.
    pub drain_seconds: i32,
    /// Seconds that one request may take.
    pub request_timeout: i32,
    /// Startup probe.
    pub startup: ProbeTiming,
    /// Liveness probe.
    pub liveness: ProbeTiming,
    /// Readiness probe.
    pub readiness: ProbeTiming,
    /// The user's environment variables; names are unique.
    pub env: Vec<EnvVar>,
    /// `/api/v1`, or empty where `MLOPS_DEBUG` removes the prefix.
    pub path_prefix: &'static str,
    /// How the Service is exposed.
    pub service_type: ServiceType,
    /// Port of the Service.
    pub service_port: i32,
    /// Annotations of the Service.
    pub service_annotations: BTreeMap<String, String>,
    /// The user's pod labels; none is the operator's.
    pub pod_labels: BTreeMap<String, String>,
    /// The user's pod annotations.
    pub pod_annotations: BTreeMap<String, String>,
}

/// The timing of a probe, in seconds and tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTiming {
    /// Seconds before the first try.
    pub initial_delay: i32,
    /// Seconds between tries.
    pub period: i32,
    /// Seconds until a try counts as failed.
    pub timeout: i32,
    /// Failed tries in a row that count as a failure.
    pub failures: i32,
}

// A server that starts in half a second is found ready a second later; a large model has two minutes.
const STARTUP: ProbeTiming = ProbeTiming { initial_delay: 0, period: 1, timeout: 2, failures: 120 };
const LIVENESS: ProbeTiming = ProbeTiming { initial_delay: 0, period: 10, timeout: 5, failures: 3 };
const READINESS: ProbeTiming = ProbeTiming { initial_delay: 0, period: 5, timeout: 3, failures: 2 };

impl ProbeTiming {
    fn with(self, change: Option<Probe>) -> Self {
        let change = change.unwrap_or_default();
        Self {
            initial_delay: change.initial_delay_seconds.unwrap_or(self.initial_delay),
            period: change.period_seconds.unwrap_or(self.period),
            timeout: change.timeout_seconds.unwrap_or(self.timeout),
            failures: change.failure_threshold.unwrap_or(self.failures),
        }
    }
}

/// Checks a custom resource and fills in its defaults.
///
/// `default_image` is the server image of the operator's own release.
pub fn validate(service: &SentimentService, default_image: &ImageReference) -> Result<ValidatedService, Invalid> {
    let spec = &service.spec;
    let name = service.name_any();
    if !is_service_name(&name) {
        return Err(Invalid::Name(name));
    }
    let server = spec.server.clone().unwrap_or_default();
    check_server(&server)?;
    check_model_source(spec.model.as_ref().and_then(|model| model.source.as_ref()))?;
    let image_spec = spec.image.clone().unwrap_or_default();
    let (requests, limits) = resources(spec.resources.as_ref())?;
    let probes = spec.probes.clone().unwrap_or_default();
    let service_spec = spec.service.clone().unwrap_or_default();
    let pod_metadata = spec.pod_metadata.clone().unwrap_or_default();
    if let Some(key) = pod_metadata.labels.keys().find(|key| is_reserved(key)) {
        return Err(Invalid::ReservedLabel(key.clone()));
    }
    let replicas = in_range("replicas", spec.replicas.unwrap_or(DEFAULT_REPLICAS), 0, 1000)?;

    Ok(ValidatedService {
        namespace: service.namespace().ok_or(Invalid::Metadata("namespace"))?,
        owner: service.controller_owner_ref(&()).ok_or(Invalid::Metadata("uid"))?,
        generation: service.metadata.generation,
        image: image(&image_spec, default_image)?,
        pull_policy: image_spec.pull_policy.unwrap_or_default(),
        pull_secrets: image_spec.pull_secrets.into_iter().map(|secret| secret.name).collect(),
        profile: spec.profile,
        model_name: spec
            .model
            .as_ref()
            .and_then(|model| model.name.clone())
            .unwrap_or_else(|| DEFAULT_MODEL_NAME.to_owned()),
        replicas: if spec.suspend { 0 } else { replicas },
        suspended: spec.suspend,
        requests,
        limits,
        drain_seconds: server.drain_seconds.unwrap_or(DEFAULT_DRAIN_SECONDS),
        request_timeout: server.request_timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT),
        server,
        startup: STARTUP.with(probes.startup),
        liveness: LIVENESS.with(probes.liveness),
        readiness: READINESS.with(probes.readiness),
        env: unique(&spec.env)?,
        path_prefix: if debug_routes(&spec.env) { "" } else { "/api/v1" },
        service_type: service_spec.type_.unwrap_or_default(),
        service_port: in_range("service.port", service_spec.port.unwrap_or(DEFAULT_PORT), 1, 65535)?,
        service_annotations: service_spec.annotations,
        pod_labels: pod_metadata.labels,
        pod_annotations: pod_metadata.annotations,
        name,
    })
}

/// RFC 1035, which Services are held to where the relaxed rule isn't switched on.
fn is_service_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|&last| last != b'-')
        && bytes.iter().all(|&byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_reserved(label: &str) -> bool {
    matches!(label.strip_prefix("app.kubernetes.io/"), Some("name" | "instance" | "managed-by" | "version"))
}

fn in_range(field: &'static str, value: i32, min: i32, max: i32) -> Result<i32, Invalid> {
    if (min..=max).contains(&value) { Ok(value) } else { Err(Invalid::OutOfRange { field, value, min, max }) }
}

fn check_server(server: &Server) -> Result<(), Invalid> {
    let batching = server.batching.clone().unwrap_or_default();
    let bounds = [
        ("server.threads", server.threads, 1, 256),
        ("server.requestTimeout", server.request_timeout, 1, 3600),
        ("server.maxTextLength", server.max_text_length, 1, 10_000),
        ("server.drainSeconds", server.drain_seconds, 0, 600),
        ("server.batching.maxBatchTokens", batching.max_batch_tokens, 16, 1_048_576),
        ("server.batching.maxBatchSize", batching.max_batch_size, 1, 1024),
        ("server.batching.queueCapacity", batching.queue_capacity, 1, 100_000),
    ];
    for (field, value, min, max) in bounds {
        if let Some(value) = value {
            in_range(field, value, min, max)?;
        }
    }
    match server.allowed_origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(Invalid::Origin(origin.clone())),
        None => Ok(()),
    }
}

fn is_origin(text: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .is_some_and(|host| !host.is_empty() && !host.contains(['/', '*']))
}

fn check_model_source(source: Option<&ModelSource>) -> Result<(), Invalid> {
    match source {
        Some(ModelSource { builtin: None }) => Err(Invalid::ModelSource),
        None | Some(ModelSource { builtin: Some(_) }) => Ok(()),
    }
}

fn image(spec: &Image, default: &ImageReference) -> Result<ImageReference, InvalidImage> {
    let chosen = default.overridden(spec.repository.as_deref(), spec.tag.as_deref(), spec.digest.as_deref())?;
    if spec.debug { chosen.debug() } else { Ok(chosen) }
}

/// Fills in requests and limits. A default gives way to what was set: it's lowered to a given
/// limit, or raised to a given request, so that the two never contradict each other.
fn resources(spec: Option<&Resources>) -> Result<(QuantityMap, QuantityMap), Invalid> {
    let Resources { mut requests, mut limits } = spec.cloned().unwrap_or_default();
    for (list, map) in [("requests", &requests), ("limits", &limits)] {
        for (name, quantity) in map {
            quantity.nanos().map_err(|source| Invalid::Quantity { list, name: name.clone(), source })?;
        }
    }
    // Every given quantity parses by now, so an order always exists.
    let exceeds = |a: &Quantity, b: &Quantity| a.nanos().ok() > b.nanos().ok();
    for (name, request) in &requests {
        if let Some(limit) = limits.get(name).filter(|limit| exceeds(request, limit)) {
            return Err(Invalid::RequestOverLimit {
                name: name.clone(),
                request: request.clone(),
                limit: limit.clone(),
            });
        }
    }
    for (name, request, limit) in DEFAULT_RESOURCES {
        let (mut request, mut limit) = (Quantity::new(request), Quantity::new(limit));
        if let Some(given) = limits.get(name).filter(|given| exceeds(&request, given)) {
            request = given.clone();
        }
        if let Some(given) = requests.get(name).filter(|given| exceeds(given, &limit)) {
            limit = given.clone();
        }
        requests.entry(name.to_owned()).or_insert(request);
        limits.entry(name.to_owned()).or_insert(limit);
    }
    Ok((requests, limits))
}

fn unique(env: &[EnvVar]) -> Result<Vec<EnvVar>, Invalid> {
    for (index, variable) in env.iter().enumerate() {
        if env[..index].iter().any(|earlier| earlier.name == variable.name) {
            return Err(Invalid::DuplicateEnv(variable.name.clone()));
        }
    }
    Ok(env.to_vec())
}

/// The server leaves out the path prefix when `MLOPS_DEBUG` is true; the probes must follow.
fn debug_routes(env: &[EnvVar]) -> bool {
    env.iter()
        .rfind(|variable| variable.name == "MLOPS_DEBUG")
        .and_then(|variable| variable.value.as_deref())
        .is_some_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
}

#[cfg(test)]
mod tests;
