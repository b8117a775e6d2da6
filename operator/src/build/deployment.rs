//! The Deployment: hardened pods of the inference server.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HTTPGetAction, LocalObjectReference,
            PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
            TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{labels, metadata};
use crate::{
    api::QuantityMap,
    validate::{ProbeTiming, ValidatedService},
};

/// Name of the server's container, as the predecessor's deployment guide has it.
pub const CONTAINER: &str = "sentiment";
/// Name of the server's port.
pub(super) const PORT_NAME: &str = "http";
/// The server's port; the Service may have another.
const PORT: i32 = 8000;
/// The user of the distroless images.
const NONROOT: i64 = 65532;
/// What a pod needs to end after it has drained and its last request is answered, in seconds.
const STOP_MARGIN: i32 = 5;
/// Directories that the server may write to, with the most that they may hold.
const WRITABLE: [(&str, &str, &str); 2] = [("logs", "/app/logs", "64Mi"), ("tmp", "/app/tmp", "64Mi")];

pub(super) fn build(service: &ValidatedService) -> Deployment {
    Deployment {
        metadata: metadata(service),
        spec: Some(DeploymentSpec {
            replicas: Some(service.replicas),
            revision_history_limit: Some(3),
            selector: LabelSelector { match_labels: Some(labels::selector(service)), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    // An old pod goes only when a new one is ready: a rollout loses no capacity.
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec { metadata: Some(pod_metadata(service)), spec: Some(pod(service)) },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_metadata(service: &ValidatedService) -> ObjectMeta {
    let mut labels = service.pod_labels.clone();
    labels.extend(labels::all(service));
    let annotations = &service.pod_annotations;
    ObjectMeta {
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
        ..ObjectMeta::default()
    }
}

fn pod(service: &ValidatedService) -> PodSpec {
    PodSpec {
        service_account_name: Some(service.name.clone()),
        automount_service_account_token: Some(false),
        // Hundreds of variables in a busy namespace, and none is of use.
        enable_service_links: Some(false),
        image_pull_secrets: non_empty(
            service.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NONROOT),
            run_as_group: Some(NONROOT),
            fs_group: Some(NONROOT),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(i64::from(
            service.drain_seconds + service.request_timeout + STOP_MARGIN,
        )),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(service)),
                ..LabelSelector::default()
            }),
            // Pods of an older revision are about to go: they don't count.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container(service)],
        volumes: Some(
            WRITABLE
                .iter()
                .map(|(name, _, size)| Volume {
                    name: (*name).to_owned(),
                    empty_dir: Some(EmptyDirVolumeSource {
                        size_limit: Some(Quantity((*size).to_owned())),
                        ..EmptyDirVolumeSource::default()
                    }),
                    ..Volume::default()
                })
                .collect(),
        ),
        ..PodSpec::default()
    }
}

fn container(service: &ValidatedService) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(service.image.to_string()),
        image_pull_policy: Some(service.pull_policy.as_str().to_owned()),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        env: Some(env(service)),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&service.requests)),
            limits: Some(quantities(&service.limits)),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            run_as_user: Some(NONROOT),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe(service, "ready", service.startup)),
        liveness_probe: Some(probe(service, "health", service.liveness)),
        readiness_probe: Some(probe(service, "ready", service.readiness)),
        // The server writes there why it could not start; its last log lines do when it could not.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(
            WRITABLE
                .iter()
                .map(|(name, path, _)| VolumeMount {
                    name: (*name).to_owned(),
                    mount_path: (*path).to_owned(),
                    ..VolumeMount::default()
                })
                .collect(),
        ),
        ..Container::default()
    }
}

/// The operator's variables in a fixed order, then the user's, which win over one of the same name.
fn env(service: &ValidatedService) -> Vec<EnvVar> {
    let server = &service.server;
    let batching = server.batching.clone().unwrap_or_default();
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    // A JSON list of texts can't fail to be written.
    let origins = (!server.allowed_origins.is_empty()).then(|| serde_json::json!(server.allowed_origins).to_string());
    let settings = [
        ("MLOPS_PROFILE", Some(service.profile.as_str().to_owned())),
        ("MLOPS_MODEL_NAME", Some(service.model_name.clone())),
        ("MLOPS_DRAIN_SECONDS", Some(service.drain_seconds.to_string())),
        ("MLOPS_MAX_REQUEST_TIMEOUT", Some(service.request_timeout.to_string())),
        ("MLOPS_MAX_BATCH_TOKENS", number(batching.max_batch_tokens)),
        ("MLOPS_MAX_BATCH_SIZE", number(batching.max_batch_size)),
        ("MLOPS_QUEUE_CAPACITY", number(batching.queue_capacity)),
        ("MLOPS_THREADS", number(server.threads)),
        ("MLOPS_MAX_TEXT_LENGTH", number(server.max_text_length)),
        ("MLOPS_LOG_LEVEL", server.log_level.map(|level| level.as_str().to_owned())),
        ("MLOPS_ALLOWED_ORIGINS", origins),
    ];
    settings
        .into_iter()
        .filter(|(name, _)| service.env.iter().all(|variable| variable.name != *name))
        .filter_map(|(name, value)| Some(EnvVar { name: name.to_owned(), value: Some(value?), value_from: None }))
        .chain(service.env.iter().cloned())
        .collect()
}

fn probe(service: &ValidatedService, route: &str, timing: ProbeTiming) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(format!("{}/{route}", service.path_prefix)),
            port: IntOrString::String(PORT_NAME.to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds: (timing.initial_delay > 0).then_some(timing.initial_delay),
        period_seconds: Some(timing.period),
        timeout_seconds: Some(timing.timeout),
        failure_threshold: Some(timing.failures),
        ..Probe::default()
    }
}

fn quantities(map: &QuantityMap) -> BTreeMap<String, Quantity> {
    map.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.as_str().to_owned()))).collect()
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
