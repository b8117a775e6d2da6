//! What is kept of a pod.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{self, ContainerStatus, PodCondition, PodStatus},
    jiff::Timestamp,
};

use super::{
    container::{Container, Role},
    words::{head, shared},
};

/// A pod: whether it serves, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// How far it has come.
    pub phase: Phase,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it passes its readiness probes.
    pub ready: bool,
    /// Why no node takes it, in the scheduler's words.
    pub unschedulable: Option<Arc<str>>,
    /// Since when it has had a node on which nothing of it runs, nor is said to have failed.
    pub silent_since: Option<Timestamp>,
    /// Where it can be asked, while it passes its readiness probes.
    pub address: Option<IpAddr>,
    /// Its containers that aren't well, the server's first.
    pub containers: Box<[Container]>,
    /// How its node ended it, if it did and the pod stays for a look.
    pub ended: Option<Box<Eviction>>,
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Some container has yet to start.
    #[default]
    Pending,
    /// All have been started.
    Running,
    /// All have ended, and none will be started again.
    Ended,
}

/// Why a node ended a pod of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// When it was said.
    pub at: Timestamp,
    /// The kubelet's words.
    pub why: Arc<str>,
}

impl Pod {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &v1::Pod) -> Self {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let nothing = PodStatus::default();
        let status = object.status.as_ref().unwrap_or(&nothing);
        let phase = match status.phase.as_deref() {
            // One that had the time to stop in order is `Succeeded`.
            Some("Failed" | "Succeeded") => Phase::Ended,
            Some("Running") => Phase::Running,
            _ => Phase::Pending,
        };
        let scheduled = condition(status, "PodScheduled");
        let refused = scheduled.filter(|scheduled| scheduled.reason.as_deref() == Some("Unschedulable"));
        let ready = condition(status, "Ready").is_some_and(|ready| ready.status == "True");
        Self {
            phase,
            created,
            deleting: object.metadata.deletion_timestamp.is_some(),
            ready,
            unschedulable: refused.map(|refused| shared(head(refused.message.as_deref().unwrap_or_default()))),
            silent_since: (phase != Phase::Ended).then(|| silent_since(status, scheduled, created)).flatten(),
            address: status.pod_ip.as_deref().filter(|_| ready).and_then(|address| address.parse().ok()),
            containers: containers(object, status),
            ended: (phase == Phase::Ended).then(|| ended(status)).flatten().map(Box::new),
        }
    }

    /// A pod that its node has ended stays for a look, long after another has taken its place.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.deleting && self.phase != Phase::Ended
    }
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    status.conditions.as_deref()?.iter().find(|condition| condition.type_ == type_)
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
}

fn containers(object: &v1::Pod, status: &PodStatus) -> Box<[Container]> {
    let declared = object.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars: Vec<&str> = declared
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    let first = status.init_container_statuses.iter().flatten();
    let first = first.filter_map(|init| Container::of(init, true, sidecars.contains(&init.name.as_str())));
    let others = status.container_statuses.iter().flatten().filter_map(|one| Container::of(one, false, true));
    let mut containers: Vec<Container> = first.chain(others).collect();
    containers.sort_by_key(|container| container.role != Role::Server);
    containers.into()
}

/// Since when the kubelet has had a pod of which no container has come to anything: it makes the sandbox, mounts the
/// volumes or pulls an image, and says in Events only what keeps it.
fn silent_since(status: &PodStatus, scheduled: Option<&PodCondition>, created: Option<Timestamp>) -> Option<Timestamp> {
    let scheduled = scheduled.filter(|scheduled| scheduled.status == "True")?;
    let is_silent = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().map(|state| (&state.waiting, &state.running, &state.terminated));
        match waiting {
            None | Some((None, None, None)) => true,
            Some((Some(waiting), None, None)) => {
                matches!(waiting.reason.as_deref(), None | Some("ContainerCreating" | "PodInitializing"))
            }
            _ => false,
        }
    };
    if !statuses(status).all(is_silent) {
        return None;
    }
    let last_ends = statuses(status)
        .filter_map(|container| container.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref())
        .map(|time| time.0);
    let begun = scheduled.last_transition_time.as_ref().map(|time| time.0).or(created);
    begun.into_iter().chain(last_ends).max()
}

/// What an evicted pod that stays for a look says of its end: in its status, but for one that stopped in order.
fn ended(status: &PodStatus) -> Option<Eviction> {
    let ends = status.container_statuses.iter().flatten().filter_map(|one| one.state.as_ref()?.terminated.as_ref());
    let at = ends.filter_map(|end| end.finished_at.as_ref()).map(|time| time.0).max()?;
    let disruption = condition(status, "DisruptionTarget").filter(|disruption| disruption.status == "True");
    let (reason, message) = match (&status.reason, disruption) {
        (None, Some(disruption)) => (&disruption.reason, &disruption.message),
        _ => (&status.reason, &status.message),
    };
    let why: Vec<&str> = [reason, message].into_iter().flatten().map(|words| words.trim()).collect();
    let why = if why.is_empty() { "which doesn't say why".to_owned() } else { why.join(": ") };
    Some(Eviction { at, why: shared(head(&why)) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value, status: &Value) -> Pod {
        let metadata = json!({"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"});
        Pod::of(&serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap())
    }

    fn container(name: &str, state: &Value) -> Value {
        json!({"name": name, "image": "i:1", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    fn scheduled() -> Value {
        json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}])
    }

    #[test]
    fn a_pod_that_serves_takes_no_memory_for_its_containers() {
        let server = json!({
            "name": "sentiment", "image": "s:1", "imageID": "r/s", "ready": true, "restartCount": 3,
            "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}},
        });
        let status = json!({
            "phase": "Running", "containerStatuses": [server], "conditions": [{"type": "Ready", "status": "True"}],
            "podIP": "192.0.2.7",
        });
        let expected = Pod {
            phase: Phase::Running,
            created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            ready: true,
            address: Some("192.0.2.7".parse().unwrap()),
            ..Pod::default()
        };
        assert_eq!(pod(&json!({"containers": []}), &status), expected);
    }

    #[test]
    fn a_sidecar_among_the_init_containers_is_told_from_one_that_has_to_end() {
        let spec = json!({"containers": [], "initContainers": [
            {"name": "vault-agent"}, {"name": "istio-proxy", "restartPolicy": "Always"},
        ]});
        let failed = json!({"terminated": {"exitCode": 1}});
        let status = json!({
            "initContainerStatuses": [container("vault-agent", &failed), container("istio-proxy", &failed)],
            "containerStatuses": [container("sentiment", &failed), container("logs", &failed)],
        });
        let found = pod(&spec, &status);
        let roles: Vec<(&str, Role)> = found.containers.iter().map(|one| (&*one.name, one.role)).collect();
        let expected = [
            ("sentiment", Role::Server),
            ("vault-agent", Role::Init),
            ("istio-proxy", Role::Sidecar),
            ("logs", Role::Sidecar),
        ];
        assert_eq!(roles, expected);
    }

    #[test]
    fn a_pod_is_silent_while_no_container_has_come_to_anything() {
        let since = |containers: &Value| {
            let status = json!({"phase": "Pending", "conditions": scheduled(), "containerStatuses": containers});
            pod(&json!({"containers": []}), &status).silent_since
        };
        let creating = json!({"waiting": {"reason": "ContainerCreating"}});
        let begun = Some("2026-01-01T00:00:05Z".parse().unwrap());
        assert_eq!(since(&json!([])), begun);
        assert_eq!(since(&json!([container("sentiment", &creating)])), begun);
        let pulling = json!({"waiting": {"reason": "ErrImagePull"}});
        assert_eq!(since(&json!([container("sentiment", &creating), container("logs", &pulling)])), None);
        assert_eq!(since(&json!([container("sentiment", &json!({"running": {}}))])), None);
        let mut again = container("sentiment", &creating);
        again["lastState"] = json!({"terminated": {"exitCode": 255, "finishedAt": "2026-01-02T00:00:00Z"}});
        assert_eq!(since(&json!([again])), Some("2026-01-02T00:00:00Z".parse().unwrap()), "since its node came back");
    }

    #[test]
    fn a_pod_without_a_node_is_not_silent() {
        let message = "0/1 nodes are available: 1 Insufficient cpu.";
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        let found = pod(&json!({"containers": []}), &json!({"phase": "Pending", "conditions": [condition]}));
        assert_eq!((found.unschedulable.as_deref(), found.silent_since), (Some(message), None));
    }
}
