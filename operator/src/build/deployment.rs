//! The Deployment: hardened pods of the inference server.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, HTTPGetAction, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
            Probe, ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    environment, labels, metadata,
    model::{self, Delivered},
    nodes, non_empty, pod_selector, ports, volumes,
};
use crate::{
    api::{QuantityMap, UserIds},
    dereference::References,
    validate::{ProbeTiming, ValidatedService},
};

/// Name of the server's container, as the predecessor's deployment guide has it.
pub const CONTAINER: &str = "sentiment";
/// The user of the distroless images.
const NONROOT: i64 = 65532;
/// What a pod needs to end after it has drained and its last request is answered, in seconds.
const STOP_MARGIN: i32 = 5;
/// Annotation of the pods with a hash of the ConfigMap's content, so that a change of it rolls them.
pub const CONFIG_HASH: &str = "kubesentiment.io/config-hash";
/// Annotation that lets the cluster autoscaler take a node whose pods have such volumes.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

pub(super) fn build(service: &ValidatedService, references: &References) -> Deployment {
    let delivered = model::deliver(service);
    Deployment {
        metadata: metadata(service),
        spec: Some(DeploymentSpec {
            replicas: service.replicas(),
            revision_history_limit: Some(3),
            selector: pod_selector(service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(service.rollout.max_surge.clone()),
                    max_unavailable: Some(service.rollout.max_unavailable.clone()),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(service, references, &delivered)),
                spec: Some(pod(service, delivered)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod_metadata(service: &ValidatedService, references: &References, delivered: &Delivered) -> ObjectMeta {
    let mut labels = service.pod_labels.clone();
    labels.extend(labels::of_pods(service));
    let mut annotations = BTreeMap::from([(SAFE_TO_EVICT.to_owned(), volumes::expendable(delivered))]);
    annotations.extend(service.pod_annotations.clone());
    annotations.extend(references.config_hash.iter().map(|hash| (CONFIG_HASH.to_owned(), hash.clone())));
    ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

fn pod(service: &ValidatedService, mut delivered: Delivered) -> PodSpec {
    let scheduling = &service.scheduling;
    let id = user_id(service);
    let server = container(service, &delivered);
    let fetcher = delivered.fetcher.take().map(|fetcher| model::init_container(service, fetcher, &server));
    PodSpec {
        service_account_name: Some(service.service_account.as_ref().unwrap_or(&service.name).clone()),
        automount_service_account_token: Some(false),
        // Hundreds of variables in a busy namespace, and none is of use.
        enable_service_links: Some(false),
        image_pull_secrets: non_empty(pull_secrets(service, &delivered)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: id,
            run_as_group: id,
            fs_group: id,
            // A volume that is kept may be large, and is ours since the first pod has had it.
            fs_group_change_policy: (delivered.is_kept && id.is_some()).then(|| "OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(i64::from(
            service.drain_seconds + service.request_timeout + STOP_MARGIN,
        )),
        topology_spread_constraints: Some(spread(service)),
        node_selector: Some(nodes::selector(service)),
        tolerations: non_empty(scheduling.tolerations.clone()),
        affinity: nodes::affinity(service),
        priority_class_name: scheduling.priority_class_name.clone(),
        runtime_class_name: scheduling.runtime_class_name.clone(),
        init_containers: fetcher.map(|fetcher| vec![fetcher]),
        containers: vec![server],
        volumes: Some(volumes::build(service, &delivered)),
        ..PodSpec::default()
    }
}

/// Those of the server image and those of the model, each once.
fn pull_secrets(service: &ValidatedService, delivered: &Delivered) -> Vec<LocalObjectReference> {
    let others = delivered.pull_secrets.iter().filter(|name| !service.pull_secrets.contains(name));
    service.pull_secrets.iter().chain(others).map(|name| LocalObjectReference { name: name.clone() }).collect()
}

/// `None` where the platform chooses: it would refuse the pods for any of ours.
fn user_id(service: &ValidatedService) -> Option<i64> {
    match service.user_ids {
        UserIds::Fixed => Some(NONROOT),
        UserIds::Platform => None,
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

fn container(service: &ValidatedService, delivered: &Delivered) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(service.image.to_string()),
        image_pull_policy: Some(service.pull_policy.as_str().to_owned()),
        ports: Some(ports::of_container(service)),
        env: Some(environment::build(service, delivered)),
        env_from: non_empty(service.env_from.clone()),
        resources: Some(ResourceRequirements {
            requests: quantities(&service.requests),
            limits: quantities(&service.limits),
            claims: None,
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            run_as_user: user_id(service),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe(service, "ready", service.startup)),
        liveness_probe: Some(probe(service, "health", service.liveness)),
        readiness_probe: Some(probe(service, "ready", service.readiness)),
        // The server writes there why it could not start; its last log lines do when it could not.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(volumes::mounts(service, delivered)),
        ..Container::default()
    }
}

fn probe(service: &ValidatedService, route: &str, timing: ProbeTiming) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(format!("{}/{route}", service.path_prefix)),
            port: IntOrString::String(ports::MANAGEMENT.to_owned()),
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

fn quantities(map: &QuantityMap) -> Option<BTreeMap<String, Quantity>> {
    let pairs = map.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.as_str().to_owned())));
    (!map.is_empty()).then(|| pairs.collect())
}
