//! What is told of a pod.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStatus, Pod},
    jiff::Timestamp,
};
use kube::ResourceExt;
use kubesentiment_operator::facts::{self, Container, End, Phase, REVISION, Role, State};
use serde::Serialize;

use super::Scene;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReport {
    /// Its name.
    pub name: String,
    /// What `kubectl get pods` has as STATUS.
    pub phase: String,
    /// Whether it serves.
    pub ready: bool,
    /// Whether it is meant to run: neither ended nor being deleted.
    pub live: bool,
    /// How often its containers were started again.
    pub restarts: i32,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Why it doesn't serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it is of the Deployment's current template; absent where that can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
    /// Its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// What is told of a pod of this scene.
pub(super) fn report(pod: &Pod, scene: &Scene, now: Timestamp) -> PodReport {
    let found = facts::Pod::of(pod);
    let (name, status) = (pod.name_any(), pod.status.as_ref());
    let containers = status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses))
        .flatten();
    let warning = scene.warnings.get(&name).map(String::as_str);
    PodReport {
        phase: phase(pod),
        ready: found.ready,
        live: found.is_live(),
        restarts: containers.map(|container| container.restart_count).sum(),
        created: found.created,
        reason: reason(&found, warning, now),
        current: current(pod, scene),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ip: status.and_then(|status| status.pod_ip.clone()),
        name,
    }
}

/// Whether it is of the current template: its ReplicaSet has the Deployment's revision.
fn current(pod: &Pod, scene: &Scene) -> Option<bool> {
    let revision = scene.deployment.as_ref()?.annotations().get(REVISION)?;
    let owner = pod.owner_references().iter().find(|owner| owner.kind == "ReplicaSet")?;
    let replica_set = scene.replica_sets.iter().find(|set| set.name_any() == owner.name)?;
    Some(replica_set.annotations().get(REVISION)? == revision)
}

/// As kubectl has it, for what our pods can be.
fn phase(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "Unknown".to_owned() };
    if pod.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    let init = status.init_container_statuses.iter().flatten().find_map(|container| {
        let state = container.state.as_ref()?;
        let is_done =
            state.terminated.as_ref().is_some_and(|end| end.exit_code == 0) || container.started == Some(true);
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
        (!is_done && waiting != Some("PodInitializing")).then(|| format!("Init:{}", said(state).unwrap_or("Running")))
    });
    let others = status.container_statuses.iter().flatten().find_map(of_container);
    let phase = || status.reason.clone().or_else(|| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned());
    init.or(others).unwrap_or_else(phase)
}

fn of_container(container: &ContainerStatus) -> Option<String> {
    container.state.as_ref().and_then(said).map(str::to_owned)
}

fn said(state: &ContainerState) -> Option<&str> {
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
    waiting.or_else(|| state.terminated.as_ref().map(|end| end.reason.as_deref().unwrap_or("Error")))
}

/// Why it doesn't serve, in the words of who knows.
fn reason(pod: &facts::Pod, warning: Option<&str>, now: Timestamp) -> Option<String> {
    if pod.phase == Phase::Ended {
        return pod.ended.as_ref().map(|eviction| eviction.why.to_string());
    }
    if pod.ready && pod.containers.is_empty() {
        return None;
    }
    if let Some(words) = &pod.unschedulable {
        return Some(words.to_string());
    }
    if let Some(words) = warning {
        return Some(words.to_owned());
    }
    if let Some(words) = pod.containers.iter().find_map(of_failure) {
        return Some(words);
    }
    let seconds = pod.silent_since.map(|since| now.duration_since(since).as_secs()).filter(|seconds| *seconds >= 10);
    seconds
        .map(|seconds| format!("nothing of it runs {seconds} s after it got its node: kubectl describe pod tells why"))
}

fn of_failure(container: &Container) -> Option<String> {
    let title = match container.role {
        Role::Server => String::new(),
        Role::Fetcher | Role::Init => format!("init container {}: ", container.name),
        Role::Sidecar => format!("container {}: ", container.name),
    };
    let words = match (&container.state, container.end()) {
        (State::Waiting { reason, .. }, Some(end)) if &**reason == "CrashLoopBackOff" => ended(end),
        (State::Waiting { reason, message }, _) if !message.is_empty() => {
            if reason.contains("Image") {
                format!("image {}: {message}", container.image)
            } else {
                message.to_string()
            }
        }
        (State::Waiting { reason, .. }, _) => reason.to_string(),
        (State::Ended(end), _) => ended(end),
        (State::Running, Some(end)) => format!("was started again: {}", ended(end)),
        (State::Running, None) if container.role == Role::Fetcher => "the model is being fetched".to_owned(),
        (State::Running, None) => "isn't ready yet".to_owned(),
        (State::Unknown, _) => return None,
    };
    Some(format!("{title}{words}"))
}

fn ended(end: &End) -> String {
    let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let words = if end.message.is_empty() { String::new() } else { format!(": {}", end.message) };
    format!("ended with exit code {}{reason}{words}", end.code)
}
