//! Why pods don't serve, in the words of the part that failed.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::DeploymentStatus,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition},
    },
    jiff::{SignedDuration, Timestamp},
};

use crate::{api::Reason, build::CONTAINER, evictions::Eviction, validate::ValidatedService};

/// A condition message is read in a terminal: the server's own sentence is far shorter than this.
const LONGEST: usize = 1024;

/// A ReplicaSet replaces a pod at once; what ended longer ago has another successor.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Why pods don't serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The class of failure.
    pub reason: Reason,
    /// The failing part's own words.
    pub message: String,
}

impl Cause {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The first pod that has failed, by name, decides.
pub(super) fn of_pods(service: &ValidatedService, pods: &[Arc<Pod>]) -> Option<Cause> {
    let live = || pods.iter().filter(|pod| is_live(pod));
    live().find_map(|pod| of_container(service, pod)).or_else(|| live().find_map(|pod| unschedulable(pod)))
}

/// A pod that its node has ended stays for a look, long after another has taken its place.
pub(crate) fn is_live(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !has_ended(pod)
}

/// Whether nothing of a pod runs any more, nor will: its containers would be restarted otherwise. One that had the time to
/// stop in order is `Succeeded`.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Why the kubelet ended a pod whose place another is about to take. The last word of the kubelet comes along: a pod
/// that was taken out of its service in time leaves nothing to read.
pub(super) fn of_eviction(pods: &[Arc<Pod>], announced: Option<&Eviction>) -> Option<String> {
    let coming = pods.iter().filter(|pod| is_live(pod) && !is_ready(pod));
    let since = coming.filter_map(|pod| pod.metadata.creation_timestamp.as_ref()).map(|time| time.0).max()?;
    let left_behind = pods.iter().filter(|pod| has_ended(pod)).filter_map(|pod| eviction(pod));
    let last = left_behind
        .chain(announced.cloned())
        .filter(|eviction| since.duration_since(eviction.at).abs() <= REPLACED_WITHIN)
        .max_by_key(|eviction| eviction.at)?;
    Some(format!("a pod was ended by its node, {}", clip(&last.why)))
}

/// What an evicted pod that stays for a look says of its end: in its status, but for one that stopped in order.
fn eviction(pod: &Pod) -> Option<Eviction> {
    let status = pod.status.as_ref()?;
    let disruption = condition(pod, "DisruptionTarget").filter(|disruption| disruption.status == "True");
    let (reason, message) = match (&status.reason, disruption) {
        (None, Some(disruption)) => (&disruption.reason, &disruption.message),
        _ => (&status.reason, &status.message),
    };
    let why: Vec<&str> = [reason, message].into_iter().flatten().map(|words| words.trim()).collect();
    let why = if why.is_empty() { "which doesn't say why".to_owned() } else { why.join(": ") };
    Some(Eviction { at: ended(pod)?, why })
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_deref()?.iter().find(|condition| condition.type_ == type_)
}

/// When the last of a pod's containers ended.
fn ended(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let states = statuses.iter().filter_map(|status| status.state.as_ref()?.terminated.as_ref());
    states.filter_map(|ended| ended.finished_at.as_ref()).map(|time| time.0).max()
}

/// The Deployment can't make pods.
pub(super) fn of_deployment(status: &DeploymentStatus) -> Option<Cause> {
    let failure = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let message = failure.message.clone().unwrap_or_default();
    Some(Cause::new(of_refusal(&message), message))
}

/// The API server refuses pods in words that have no code of their own.
fn of_refusal(message: &str) -> Reason {
    // Admission names what it looked up in vain: an account, a priority, a runtime.
    let looked_up = ["serviceaccount \"", "PriorityClass with name ", "RuntimeClass \""];
    let in_vain = message.contains("not found") || message.contains("was found");
    if message.contains("exceeded quota") {
        Reason::QuotaExceeded
    } else if in_vain && looked_up.iter().any(|words| message.contains(words)) {
        Reason::DependencyMissing
    } else {
        Reason::ApplyFailed
    }
}

fn unschedulable(pod: &Pod) -> Option<Cause> {
    let scheduled = condition(pod, "PodScheduled")?;
    (scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| Cause::new(Reason::Unschedulable, scheduled.message.clone().unwrap_or_default()))
}

/// The status of the container that the server runs in.
pub(super) fn server(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|status| status.name == CONTAINER)
}

fn of_container(service: &ValidatedService, pod: &Pod) -> Option<Cause> {
    let container = server(pod)?;
    if container.ready {
        return None;
    }
    waiting(container).or_else(|| terminated(service, container))
}

fn waiting(container: &ContainerStatus) -> Option<Cause> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let reason = match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImagePullFailed,
        // A Secret or ConfigMap that the container refers to isn't there.
        "CreateContainerConfigError" => Reason::DependencyMissing,
        "CreateContainerError" | "RunContainerError" => Reason::CrashLooping,
        _ => return None,
    };
    Some(Cause::new(
        reason,
        match reason {
            Reason::ImagePullFailed => format!("image {}: {}", container.image, registry_words(message)),
            _ => message.to_owned(),
        },
    ))
}

/// While it waits to try again, the kubelet puts a preamble before the registry's answer. Without
/// it the message stays the same from try to try.
fn registry_words(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("Back-off pulling image ") else { return message };
    rest.split_once(": ErrImagePull: ").map_or(message, |(_, words)| words)
}

/// How the container ended last, where it isn't ready since.
fn terminated(service: &ValidatedService, container: &ContainerStatus) -> Option<Cause> {
    let ended = [container.state.as_ref(), container.last_state.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|state| state.terminated.as_ref())?;
    if ended.reason.as_deref() == Some("OOMKilled") {
        let limit = service.limits.get("memory").map(ToString::to_string).unwrap_or_default();
        return Some(Cause::new(
            Reason::OutOfMemory,
            format!("the server took more memory than its limit of {limit}: raise resources.limits.memory"),
        ));
    }
    Some(of_termination(ended))
}

/// The server's termination message is `Reason: sentence`.
fn of_termination(ended: &ContainerStateTerminated) -> Cause {
    let text = clip(ended.message.as_deref().unwrap_or_default().trim());
    let reason = match text.split_once(": ").map(|(reason, _)| reason) {
        Some("ModelLoadFailed") => Reason::ModelLoadFailed,
        Some("ModelFetchFailed") => Reason::ModelFetchFailed,
        _ => Reason::CrashLooping,
    };
    let message = match (reason, text) {
        (Reason::CrashLooping, "") => {
            format!("the server ended with exit code {}; see kubectl logs --previous", ended.exit_code)
        }
        (Reason::CrashLooping, text) => format!("the server ended with exit code {}: {text}", ended.exit_code),
        (_, text) => text.split_once(": ").map_or(text, |(_, sentence)| sentence).to_owned(),
    };
    Cause::new(reason, message)
}

/// The end of a text: that is where a program says why it gave up.
fn clip(text: &str) -> &str {
    let start = text.len().saturating_sub(LONGEST);
    (start..text.len()).find_map(|index| text.get(index..)).unwrap_or(text)
}
