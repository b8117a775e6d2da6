//! Turns a spec into a [`ValidatedService`], a type that can't be wrong.
//!
//! The Custom Resource Definition makes the API server refuse most mistakes before they are
//! stored. The rules are checked again here for objects that were stored before a rule existed,
//! and because a typed value spares every later step the doubt.

mod auth;
mod cache;
mod endpoint;
mod environment;
mod hosts;
mod inference_log;
mod invalid;
mod metadata;
mod network;
mod origin;
mod resources;
mod scale;
mod secret;
mod source;
mod tls;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{EnvFromSource, EnvVar},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource, ResourceExt};

pub use self::{
    auth::Auth,
    cache::{Cache, Redis},
    endpoint::Endpoint,
    hosts::{InvalidHost, ModelHosts},
    inference_log::InferenceLog,
    invalid::Invalid,
    origin::{Cloud, Host, Origin},
    scale::{Autoscaler, Budget, Rollout, Scale},
    secret::SecretKey,
    source::{Fetch, ModelCache, ModelClaim, ModelImage, Source},
    tls::Tls,
};
use crate::{
    api::{
        Delivery, Image, Model, Monitoring, NetworkPolicy, Probe, Profile, Protocol, PullPolicy, QuantityMap, Route,
        Scheduling, SentimentService, Server, ServiceType, SessionAffinity, UserIds,
    },
    image::{ImageReference, InvalidImage, ServerImage},
};

/// Name of the model when the spec gives none.
const DEFAULT_MODEL_NAME: &str = "default";
/// The port of the Service and of the server, as the predecessor has it.
pub const DEFAULT_PORT: i32 = 8000;
/// The port of the Service and of the server for gRPC.
const DEFAULT_GRPC_PORT: i32 = 8001;
/// The server's own default of `MLOPS_DRAIN_SECONDS`.
const DEFAULT_DRAIN_SECONDS: i32 = 5;
/// The server's own default of `MLOPS_MAX_REQUEST_TIMEOUT`.
const DEFAULT_REQUEST_TIMEOUT: i32 = 30;

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
    /// The architectures that the image is built for; empty where nobody said.
    pub architectures: Vec<String>,
    /// When the kubelet pulls the image.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
    /// The server's defaults.
    pub profile: Profile,
    /// Name of the model in predictions and metrics.
    pub model_name: String,
    /// What else was given of the model; its rules hold.
    pub model: Model,
    /// Where the model comes from.
    pub source: Source,
    /// The digest that the model must have.
    pub digest: Option<String>,
    /// How many pods run while the service isn't suspended.
    pub scale: Scale,
    /// Whether no pod runs.
    pub suspended: bool,
    /// Pods that a drain of nodes must leave; `None` where there is nothing to guard.
    pub budget: Option<Budget>,
    /// How far a rollout may go above and below the number of pods.
    pub rollout: Rollout,
    /// Requests by resource name.
    pub requests: QuantityMap,
    /// Limits by resource name; never below a request.
    pub limits: QuantityMap,
    /// Inference threads, where the server is told.
    pub threads: Option<i32>,
    /// Server settings that were given.
    pub server: Server,
    /// Seconds that a stopping pod goes on serving.
    pub drain_seconds: i32,
    /// Seconds that one request may take.
    pub request_timeout: i32,
    /// What the server speaks, where that was given; each once.
    pub protocols: Vec<Protocol>,
    /// TLS between callers and pods.
    pub tls: Option<Tls>,
    /// Where answers are kept.
    pub cache: Cache,
    /// Who may call; `None` for everybody.
    pub auth: Option<Auth>,
    /// Where a record of each answer goes.
    pub inference_log: Option<InferenceLog>,
    /// Startup probe.
    pub startup: ProbeTiming,
    /// Liveness probe.
    pub liveness: ProbeTiming,
    /// Readiness probe.
    pub readiness: ProbeTiming,
    /// The user's environment variables; names are unique, and none is the operator's alone.
    pub env: Vec<EnvVar>,
    /// Where further environment variables come from.
    pub env_from: Vec<EnvFromSource>,
    /// ConfigMap with the server's settings.
    pub config_map: Option<String>,
    /// `/api/v1`, or empty where `MLOPS_DEBUG` removes the prefix.
    pub path_prefix: &'static str,
    /// How the Service is exposed.
    pub service_type: ServiceType,
    /// Port of the Service.
    pub service_port: i32,
    /// Port of the Service for gRPC; another, and `None` where gRPC isn't served.
    pub grpc_port: Option<i32>,
    /// Whether a client keeps its pod.
    pub session_affinity: SessionAffinity,
    /// Annotations of the Service.
    pub service_annotations: BTreeMap<String, String>,
    /// How the service is published through a Gateway.
    pub route: Option<Route>,
    /// Which traffic is allowed; `None` for any.
    pub network_policy: Option<NetworkPolicy>,
    /// How Prometheus scrapes the pods.
    pub monitoring: Option<Monitoring>,
    /// Who chooses the ids of the pods' user and groups.
    pub user_ids: UserIds,
    /// Where the pods run.
    pub scheduling: Scheduling,
    /// A ServiceAccount that somebody else made.
    pub service_account: Option<String>,
    /// The user's pod labels; none is the operator's.
    pub pod_labels: BTreeMap<String, String>,
    /// The user's pod annotations.
    pub pod_annotations: BTreeMap<String, String>,
}

impl ValidatedService {
    /// What the Deployment's `replicas` must be, or `None` where something else decides.
    #[must_use]
    pub fn replicas(&self) -> Option<i32> {
        match self.scale {
            _ if self.suspended => Some(0),
            Scale::Fixed(replicas) => Some(replicas),
            Scale::Auto(_) | Scale::External => None,
        }
    }
}

impl ValidatedService {
    /// Whether pods of the same spec may have different models: the source isn't in the image, and nothing says which
    /// model it must be.
    #[must_use]
    pub fn model_may_change(&self) -> bool {
        self.source.delivery() != Delivery::Builtin && self.digest.is_none()
    }
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
pub fn validate(service: &SentimentService, default_image: &ServerImage) -> Result<ValidatedService, Invalid> {
    let spec = &service.spec;
    let name = service.name_any();
    if !is_service_name(&name) {
        return Err(Invalid::Name(name));
    }
    let server = spec.server.clone().unwrap_or_default();
    check_server(&server)?;
    let model = spec.model.clone().unwrap_or_default();
    check_model(&model)?;
    let image_spec = spec.image.clone().unwrap_or_default();
    let (requests, limits) = resources::resources(spec.resources.as_ref())?;
    let probes = spec.probes.clone().unwrap_or_default();
    let service_spec = spec.service.clone().unwrap_or_default();
    let pod_metadata = spec.pod_metadata.clone().unwrap_or_default();
    let monitoring = spec.monitoring.clone().filter(|monitoring| monitoring.enabled);
    metadata::check_labels("podMetadata.labels", &pod_metadata.labels)?;
    metadata::check_annotations("podMetadata.annotations", &pod_metadata.annotations)?;
    metadata::check_annotations("service.annotations", &service_spec.annotations)?;
    if let Some(monitoring) = &monitoring {
        metadata::check_labels("monitoring.labels", &monitoring.labels)?;
    }
    let env = environment::env(spec)?;
    let scale = scale::scale(spec)?;
    let protocols = protocols(&spec.protocols);
    let service_port = in_range("service.port", service_spec.port.unwrap_or(DEFAULT_PORT), 1, 65535)?;
    let speaks_grpc = protocols.is_empty() || protocols.contains(&Protocol::Grpc);
    let grpc_port = speaks_grpc.then(|| network::grpc_port(service_spec.grpc_port, service_port)).transpose()?;

    Ok(ValidatedService {
        namespace: service.namespace().ok_or(Invalid::Metadata("namespace"))?,
        owner: service.controller_owner_ref(&()).ok_or(Invalid::Metadata("uid"))?,
        generation: service.metadata.generation,
        image: image(&image_spec, &default_image.reference)?,
        architectures: architectures(&image_spec, default_image),
        pull_policy: image_spec.pull_policy.unwrap_or_default(),
        pull_secrets: image_spec.pull_secrets.into_iter().map(|secret| secret.name).collect(),
        profile: spec.profile,
        source: source::source(&model)?,
        digest: source::digest(&model)?,
        model_name: model.name.clone().unwrap_or_else(|| DEFAULT_MODEL_NAME.to_owned()),
        model,
        budget: scale::budget(spec.disruption_budget.as_ref(), &scale)?,
        scale,
        suspended: spec.suspend,
        rollout: scale::rollout(spec.rollout.as_ref())?,
        threads: resources::threads(&server, &env, &requests, &limits),
        requests,
        limits,
        drain_seconds: server.drain_seconds.unwrap_or(DEFAULT_DRAIN_SECONDS),
        request_timeout: server.request_timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT),
        server,
        cache: cache::cache(spec.cache.as_ref())?,
        auth: spec.auth.as_ref().map(auth::auth).transpose()?,
        inference_log: spec.inference_log.as_ref().map(inference_log::inference_log).transpose()?,
        tls: spec.tls.as_ref().map(tls::tls),
        startup: STARTUP.with(probes.startup),
        liveness: LIVENESS.with(probes.liveness),
        readiness: READINESS.with(probes.readiness),
        env_from: spec.env_from.clone(),
        config_map: spec.config_map_ref.as_ref().map(|config| config.name.clone()),
        path_prefix: if environment::debug_routes(&env) { "" } else { "/api/v1" },
        env,
        service_type: service_spec.type_.unwrap_or_default(),
        service_port,
        grpc_port,
        protocols,
        session_affinity: service_spec.session_affinity.unwrap_or_default(),
        service_annotations: service_spec.annotations,
        route: network::route(spec.route.as_ref(), grpc_port.is_some())?,
        network_policy: network::policy(spec.network_policy.as_ref())?,
        monitoring,
        user_ids: spec.security.and_then(|security| security.user_ids).unwrap_or_default(),
        scheduling: spec.scheduling.clone().unwrap_or_default(),
        service_account: spec.service_account_name.clone(),
        pod_labels: pod_metadata.labels,
        pod_annotations: pod_metadata.annotations,
        name,
    })
}

/// In an order of their own: another order of the same is no reason to roll pods.
fn protocols(given: &[Protocol]) -> Vec<Protocol> {
    let mut protocols = given.to_vec();
    protocols.sort_unstable();
    protocols.dedup();
    protocols
}

/// RFC 1035, which Services are held to where the relaxed rule isn't switched on.
fn is_service_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|&last| last != b'-')
        && bytes.iter().all(|&byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
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

fn check_model(model: &Model) -> Result<(), Invalid> {
    if let Some(tokens) = model.max_tokens {
        in_range("model.maxTokens", tokens, 4, 8192)?;
    }
    if model.labels.len() == 1 {
        return Err(Invalid::SingleLabel);
    }
    match model.neutral_band {
        Some(band) if !(0.0..1.0).contains(&band) => Err(Invalid::NeutralBand(band)),
        _ => Ok(()),
    }
}

fn image(spec: &Image, default: &ImageReference) -> Result<ImageReference, InvalidImage> {
    let chosen = default.overridden(spec.repository.as_deref(), spec.tag.as_deref(), spec.digest.as_deref())?;
    if spec.debug { chosen.debug() } else { Ok(chosen) }
}

/// Known of the operator's own image only: one that the spec names in any part may be built for others.
fn architectures(spec: &Image, default: &ServerImage) -> Vec<String> {
    let is_own = spec.repository.is_none() && spec.tag.is_none() && spec.digest.is_none();
    if is_own { default.architectures.clone() } else { Vec::new() }
}

#[cfg(test)]
mod tests;
