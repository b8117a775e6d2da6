//! The Deployment: hardened pods of the inference server.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction,
            LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
            SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{environment, labels, metadata, non_empty, pod_selector};
use crate::{
    api::QuantityMap,
    dereference::References,
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
/// Annotation of the pods with a hash of the ConfigMap's content, so that a change of it rolls them.
pub const CONFIG_HASH: &str = "kubesentiment.io/config-hash";
/// Name of the volume with the ConfigMap.
const CONFIG_VOLUME: &str = "config";
/// Directories that the server may write to, with the most that they may hold.
const WRITABLE: [(&str, &str, &str); 2] = [("logs", "/app/logs", "64Mi"), ("tmp", "/app/tmp", "64Mi")];

pub(super) fn build(service: &ValidatedService, references: &References) -> Deployment {
    Deployment {
        metadata: metadata(service),
        spec: Some(DeploymentSpec {
            replicas: service.replicas(),
            revision_history_limit: Some(3),
            selector: pod_selector(service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    // An old pod goes only when a new one is ready: a rollout loses no capacity.
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec { metadata: Some(pod_metadata(service, references)), spec: Some(pod(service)) },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_metadata(service: &ValidatedService, references: &References) -> ObjectMeta {
    let mut labels = service.pod_labels.clone();
    labels.extend(labels::all(service));
    let mut annotations = service.pod_annotations.clone();
    annotations.extend(references.config_hash.iter().map(|hash| (CONFIG_HASH.to_owned(), hash.clone())));
    ObjectMeta {
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

fn pod(service: &ValidatedService) -> PodSpec {
    let scheduling = &service.scheduling;
    PodSpec {
        service_account_name: Some(service.service_account.as_ref().unwrap_or(&service.name).clone()),
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
        topology_spread_constraints: Some(spread(service)),
        node_selector: (!scheduling.node_selector.is_empty()).then(|| scheduling.node_selector.clone()),
        tolerations: non_empty(scheduling.tolerations.clone()),
        affinity: scheduling.affinity.clone(),
        priority_class_name: scheduling.priority_class_name.clone(),
        runtime_class_name: scheduling.runtime_class_name.clone(),
        containers: vec![container(service)],
        volumes: Some(volumes(service)),
        ..PodSpec::default()
    }
}

/// The spread of the spec, or the default over hosts, which a full host doesn't hold up.
fn spread(service: &ValidatedService) -> Vec<TopologySpreadConstraint> {
    let ours = pod_selector(service);
    let given = &service.scheduling.topology_spread_constraints;
    if given.is_empty() {
        return vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(ours),
            // Pods of an older revision are about to go: they don't count.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        }];
    }
    let with_selector = |constraint: &TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: Some(constraint.label_selector.clone().unwrap_or_else(|| ours.clone())),
        ..constraint.clone()
    };
    given.iter().map(with_selector).collect()
}

fn volumes(service: &ValidatedService) -> Vec<Volume> {
    let writable = WRITABLE.iter().map(|(name, _, size)| Volume {
        name: (*name).to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity((*size).to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    });
    let config = service.config_map.iter().map(|name| Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: name.clone(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    });
    writable.chain(config).collect()
}

fn mounts(service: &ValidatedService) -> Vec<VolumeMount> {
    let writable = WRITABLE.iter().map(|(name, path, _)| VolumeMount {
        name: (*name).to_owned(),
        mount_path: (*path).to_owned(),
        ..VolumeMount::default()
    });
    let config = service.config_map.iter().map(|_| VolumeMount {
        name: CONFIG_VOLUME.to_owned(),
        mount_path: "/app/config".to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    writable.chain(config).collect()
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
        env: Some(environment::build(service)),
        env_from: non_empty(service.env_from.clone()),
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
        volume_mounts: Some(mounts(service)),
        ..Container::default()
    }
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
