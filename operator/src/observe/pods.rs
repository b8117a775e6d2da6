//! Pods that have come to no container, and pods that their node has ended.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{
    View,
    containers::{IMAGE_VOLUMES_OFF, mounted_model},
    deployment::room,
    left,
};
use crate::{
    api::Reason,
    facts::{Eviction, Phase},
    verdict::Verdict,
};

/// A ReplicaSet replaces a pod at once; what ended longer ago has another successor.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// A kubelet makes a sandbox and mounts volumes within this time.
const SILENCE: SignedDuration = SignedDuration::from_secs(10);

/// How often it is looked whether the kubelet has said something else of a silent pod.
const WORDS_EVERY: Duration = Duration::from_secs(30);

/// No node takes a pod whose claim isn't there.
pub(super) fn without_its_claim(view: &View<'_>) -> Option<Verdict> {
    let (claim, field) = view.service.source.claim()?;
    let words = view.live().find_map(|(_, pod)| pod.unschedulable.as_deref())?;
    words.contains(&format!("persistentvolumeclaim \"{claim}\" not found")).then(|| {
        let message = format!(
            "PersistentVolumeClaim \"{claim}\", which {field} names, doesn't exist in this namespace: create it, or correct {field}"
        );
        Verdict::new(Reason::DependencyMissing, message)
    })
}

/// No node takes a pod.
pub(super) fn unschedulable(view: &View<'_>) -> Option<Verdict> {
    let words = view.live().find_map(|(_, pod)| pod.unschedulable.as_deref())?;
    Some(Verdict::new(Reason::Unschedulable, format!("{words}{}", room(view))))
}

/// The first pod on a node of which nothing has come for a while: its place in `pods`. Only Events tell why, so this
/// is when they are worth a request.
#[must_use]
pub fn silent_pod(view: &View<'_>) -> Option<usize> {
    let is_silent = |since| view.now.duration_since(since) >= SILENCE;
    view.live().find(|(_, pod)| pod.silent_since.is_some_and(is_silent)).map(|(place, _)| place)
}

/// When the words of a kubelet should be looked for.
pub(super) fn due(view: &View<'_>) -> Option<Duration> {
    if silent_pod(view).is_some() {
        return Some(WORDS_EVERY);
    }
    view.live().filter_map(|(_, pod)| left(view.now, pod.silent_since, SILENCE)).min()
}

/// What the kubelet says of a silent pod.
pub(super) fn warning<'a>(view: &View<'a>) -> Option<&'a str> {
    view.warning.filter(|_| silent_pod(view).is_some())
}

/// A volume is of a Secret or ConfigMap that isn't there.
pub(super) fn unmountable(view: &View<'_>) -> Option<Verdict> {
    let words = warning(view).filter(|words| words.contains(": FailedMount: "))?;
    if mounted_model(view).is_some() && words.contains("no volume plugin matched") {
        return Some(Verdict::new(Reason::ModelFetchFailed, format!("{words}; {IMAGE_VOLUMES_OFF}")));
    }
    let in_vain = ["\" not found", "references non-existent"].iter().any(|end| words.contains(end));
    let of_the_spec =
        ["secret", "configmap", "config key", "persistentvolumeclaim"].iter().any(|kind| words.contains(kind));
    (in_vain && of_the_spec).then(|| Verdict::new(Reason::DependencyMissing, words))
}

/// Why the kubelet ended a pod whose place another is about to take. The last word of the kubelet comes along: a pod
/// that was taken out of its service in time leaves nothing to read.
pub(super) fn ended(view: &View<'_>) -> Option<String> {
    let since = view.live().filter(|(_, pod)| !pod.ready).filter_map(|(_, pod)| pod.created).max()?;
    let pods = if view.is_seen() { view.pods } else { &[] };
    let left_behind = pods.iter().filter(|pod| pod.phase == Phase::Ended).filter_map(|pod| pod.ended.as_deref());
    let last: &Eviction = left_behind
        .chain(view.eviction)
        .filter(|eviction| since.duration_since(eviction.at).abs() <= REPLACED_WITHIN)
        .max_by_key(|eviction| eviction.at)?;
    Some(format!("a pod was ended by its node, {}", last.why))
}
