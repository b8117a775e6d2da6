//! What is remembered of each service: one place, dropped as a whole when the service is gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    api::{Delivery, ModelStatus, SentimentServiceStatus, ServiceRef, Stored},
    children::ChildKind,
    digests::Digest,
    facts::{self, Eviction},
    lock::lock,
    status,
    watches::Uid,
};

/// How long the words of a kubelet stand for a pod before it is asked again.
const WARNING_STANDS: Duration = Duration::from_secs(30);

/// The services that are known.
#[derive(Default)]
pub(crate) struct Memories(Mutex<HashMap<ServiceRef, Arc<Memory>>>);

/// What is remembered of one service.
#[derive(Default)]
pub(crate) struct Memory {
    /// The uid: another service of the same name begins anew.
    uid: Option<Uid>,
    state: Mutex<State>,
}

/// What the API server answered when a child was last written or found to be as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Hash of what was sent.
    pub(crate) hash: u64,
    /// The fields that were ours then.
    pub(crate) fields: Option<Arc<str>>,
    /// The version.
    pub(crate) version: u64,
    /// How many lists the watch had begun by then.
    pub(crate) lists: u64,
}

#[derive(Default)]
struct State {
    /// What was answered for each child.
    answered: HashMap<(ChildKind, String), Answered>,
    /// The Deployment as it was answered to our last write.
    deployment: Option<(Uid, Box<facts::Deployment>)>,
    /// See [`kept_template`](Memory::kept_template).
    kept_template: Option<(i64, u64)>,
    /// Pods that were last meant to run.
    replicas: Option<i32>,
    /// The hash of a ConfigMap at a version.
    config: Option<(u64, Arc<str>)>,
    /// Failures in a row.
    failures: u32,
    /// The last one.
    failed: Option<Failure>,
    /// When a status was last written.
    written_at: Option<Instant>,
    /// That status and its version, until the watch has shown it.
    unseen: Option<(u64, Box<SentimentServiceStatus>)>,
    /// What a kubelet last said of a pod that it ends.
    eviction: Option<Eviction>,
    /// What a kubelet last warned of, of which pod, and when it was asked.
    warning: Option<(Uid, Option<Arc<str>>, Instant)>,
    /// What is known of the model's digest, until the status has it.
    digest: Option<DigestKnown>,
    /// The pod that was last asked for it for itself.
    asked_pod: Option<AskedPod>,
    /// The last model of which the digest was known: a rollout takes it out of the status.
    model: Option<(String, String)>,
}

/// A pod that was asked for its model's digest for itself.
#[derive(Clone, Debug)]
pub(crate) struct AskedPod {
    /// Name of its ReplicaSet.
    pub(crate) replica_set: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// When it was made.
    pub(crate) created: Timestamp,
}

/// What a ReplicaSet's pods were asked for their model's digest.
struct DigestKnown {
    replica_set: Arc<str>,
    failures: u32,
    state: DigestState,
}

enum DigestState {
    UnderWay,
    Failed { until: Instant },
    Answered(Option<Digest>),
}

/// Whether the pods of a ReplicaSet were asked for their model's digest.
pub(crate) enum DigestAsked {
    /// Not, or there was no answer a good while ago.
    Not,
    /// One is being asked.
    UnderWay,
    /// There was no answer, and it isn't time to ask again.
    Later(Duration),
    /// One has answered; with nothing, where its server doesn't tell.
    Answered(Option<Digest>),
}

/// Whether a kubelet's last warning was asked for.
pub(crate) enum Asked {
    /// Not, or too long ago.
    Not,
    /// Of late, and there was one or not.
    OfLate(Option<Arc<str>>),
}

/// A failure that isn't to be repeated at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// What it was about.
    pub(crate) situation: Situation,
    /// Whether it says nothing of the children: then none of what they do is a reason to ask earlier.
    pub(crate) is_unanswered: bool,
    /// Until when it isn't tried again.
    pub(crate) until: Instant,
}

/// What a reconciliation depends on: where none of it has moved, a failure would only be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Of the service's spec.
    pub(crate) generation: Option<i64>,
    /// Of all children and of the ConfigMap, in one.
    pub(crate) versions: u64,
}

impl Memories {
    /// What is remembered of this service.
    pub(crate) fn of(&self, service: &ServiceRef, uid: Option<&str>) -> Arc<Memory> {
        let uid = uid.map(Uid::of);
        let mut memories = lock(&self.0);
        if let Some(known) = memories.get(service).filter(|known| known.uid == uid) {
            return known.clone();
        }
        let memory = Arc::new(Memory { uid, state: Mutex::default() });
        memories.insert(service.clone(), memory.clone());
        memory
    }

    /// What is remembered of this service, if it is known.
    pub(crate) fn known(&self, service: &ServiceRef) -> Option<Arc<Memory>> {
        lock(&self.0).get(service).cloned()
    }

    /// Drops what is remembered of a service that is gone.
    pub(crate) fn forget(&self, service: &ServiceRef) {
        lock(&self.0).remove(service);
    }
}

impl Memory {
    /// What was answered for a child.
    pub(crate) fn answered(&self, child: &(ChildKind, String)) -> Option<Answered> {
        lock(&self.state).answered.get(child).cloned()
    }

    /// Notes what was answered for a child.
    pub(crate) fn note(&self, child: (ChildKind, String), answered: Answered) {
        lock(&self.state).answered.insert(child, answered);
    }

    /// Drops what was answered for a child that is no longer asked for.
    pub(crate) fn forget_child(&self, child: &(ChildKind, String)) {
        lock(&self.state).answered.remove(child);
    }

    /// The Deployment as it was answered to our last write.
    pub(crate) fn deployment(&self) -> Option<(Uid, Box<facts::Deployment>)> {
        lock(&self.state).deployment.clone()
    }

    /// Notes a Deployment that was answered.
    pub(crate) fn note_deployment(&self, uid: Uid, facts: Box<facts::Deployment>) {
        lock(&self.state).deployment = Some((uid, facts));
    }

    /// The generation, and the rest of what was asked for, that a live template was last kept in.
    pub(crate) fn kept_template(&self) -> Option<(i64, u64)> {
        lock(&self.state).kept_template
    }

    /// Notes that a live template is kept.
    pub(crate) fn note_kept_template(&self, kept: (i64, u64)) {
        lock(&self.state).kept_template = Some(kept);
    }

    /// Pods that were last meant to run.
    pub(crate) fn replicas(&self) -> Option<i32> {
        lock(&self.state).replicas
    }

    pub(crate) fn note_replicas(&self, replicas: Option<i32>) {
        if replicas.is_some() {
            lock(&self.state).replicas = replicas;
        }
    }

    /// The hash of the ConfigMap at this version.
    pub(crate) fn config(&self, version: u64) -> Option<Arc<str>> {
        lock(&self.state).config.as_ref().filter(|(known, _)| *known == version).map(|(_, hash)| hash.clone())
    }

    /// Notes the hash of the ConfigMap at a version.
    pub(crate) fn note_config(&self, version: u64, hash: Arc<str>) {
        lock(&self.state).config = Some((version, hash));
    }

    /// How long to wait before this is tried again, where it failed and nothing has moved since.
    pub(crate) fn waits(&self, situation: Situation, now: Instant) -> Option<Duration> {
        let state = lock(&self.state);
        let Failure { situation: failed, is_unanswered, until } = state.failed?;
        let is_same = failed.generation == situation.generation && (is_unanswered || failed == situation);
        (is_same && until > now).then(|| until.duration_since(now))
    }

    /// Counts a failure, and tells how many there were in a row.
    pub(crate) fn count_failure(&self) -> u32 {
        let mut state = lock(&self.state);
        state.failures = state.failures.saturating_add(1);
        state.failures
    }

    /// Notes that a failure isn't tried again for so long, unless something moves.
    pub(crate) fn note_failure(&self, failure: Failure) {
        lock(&self.state).failed = Some(failure);
    }

    /// Notes that a reconciliation came to its end.
    pub(crate) fn note_success(&self) {
        let mut state = lock(&self.state);
        (state.failures, state.failed) = (0, None);
    }

    /// The status that the service has: the one that was written last, until the watch has shown it.
    pub(crate) fn previous(&self, object: &Stored) -> SentimentServiceStatus {
        let mut state = lock(&self.state);
        match &state.unseen {
            Some((version, status)) if *version > object.version() => (**status).clone(),
            _ => {
                state.unseen = None;
                status::of_unreadable(&object.status())
            }
        }
    }

    /// Time since a status was written.
    pub(crate) fn since_last_write(&self, now: Instant) -> Duration {
        lock(&self.state).written_at.map_or(Duration::MAX, |at| now.duration_since(at))
    }

    /// Notes a status that was written.
    pub(crate) fn note_written(&self, version: u64, status: SentimentServiceStatus, now: Instant) {
        let mut state = lock(&self.state);
        (state.written_at, state.unseen) = (Some(now), Some((version, Box::new(status))));
    }

    /// What a kubelet last said of a pod that it ends.
    pub(crate) fn eviction(&self) -> Option<Eviction> {
        lock(&self.state).eviction.clone()
    }

    /// Notes what a kubelet says of a pod that it ends.
    pub(crate) fn note_eviction(&self, eviction: Eviction) {
        lock(&self.state).eviction = Some(eviction);
    }

    /// What a kubelet last warned of, if this pod was asked about of late.
    pub(crate) fn warning(&self, pod: Uid, now: Instant) -> Asked {
        match &lock(&self.state).warning {
            Some((of, words, at)) if *of == pod && now.duration_since(*at) < WARNING_STANDS => {
                Asked::OfLate(words.clone())
            }
            _ => Asked::Not,
        }
    }

    /// Whether the pods of this ReplicaSet were asked for their model's digest.
    pub(crate) fn digest(&self, replica_set: &str, now: Instant) -> DigestAsked {
        let state = lock(&self.state);
        match state.digest.as_ref().filter(|known| &*known.replica_set == replica_set).map(|known| &known.state) {
            Some(DigestState::UnderWay) => DigestAsked::UnderWay,
            Some(DigestState::Failed { until }) if *until > now => DigestAsked::Later(until.duration_since(now)),
            None | Some(DigestState::Failed { .. }) => DigestAsked::Not,
            Some(DigestState::Answered(digest)) => DigestAsked::Answered(digest.clone()),
        }
    }

    /// Notes that a pod of this ReplicaSet is being asked.
    pub(crate) fn note_digest_asked(&self, replica_set: Arc<str>) {
        let mut state = lock(&self.state);
        let before = state.digest.take().filter(|known| known.replica_set == replica_set);
        let failures = before.map_or(0, |known| known.failures);
        state.digest = Some(DigestKnown { replica_set, failures, state: DigestState::UnderWay });
    }

    /// Notes what a pod of this ReplicaSet answered.
    pub(crate) fn note_digest(&self, replica_set: &str, digest: Option<Digest>) {
        self.change_digest(replica_set, |known| known.state = DigestState::Answered(digest));
    }

    /// Counts that a pod of this ReplicaSet didn't answer, and tells how often that was in a row.
    pub(crate) fn count_digest_failure(&self, replica_set: &str) -> u32 {
        let mut failures = 0;
        self.change_digest(replica_set, |known| {
            known.failures = known.failures.saturating_add(1);
            failures = known.failures;
        });
        failures
    }

    /// Notes until when none is asked again.
    pub(crate) fn note_digest_failure(&self, replica_set: &str, until: Instant) {
        self.change_digest(replica_set, |known| known.state = DigestState::Failed { until });
    }

    /// The pod of a ReplicaSet that was last asked for its model's digest for itself, and when it was made.
    pub(crate) fn asked_pod(&self, replica_set: &str) -> Option<(Timestamp, Arc<str>)> {
        let asked = lock(&self.state).asked_pod.clone();
        asked.filter(|asked| *asked.replica_set == *replica_set).map(|asked| (asked.created, asked.name))
    }

    /// Notes a pod that is asked.
    pub(crate) fn note_asked_pod(&self, asked: AskedPod) {
        lock(&self.state).asked_pod = Some(asked);
    }

    /// Notes the model that a status told before this operator looked at the service.
    pub(crate) fn model_before(&self, told: &ModelStatus) {
        if let ModelStatus { source, digest: Some(digest), .. } = told {
            lock(&self.state).model.get_or_insert_with(|| (source.clone(), digest.clone()));
        }
    }

    /// Notes the model that a status tells, and says how it differs from the one before it, where the same source had
    /// another. The image's own changes with the image.
    pub(crate) fn model_changed(&self, told: &ModelStatus) -> Option<String> {
        let ModelStatus { source, digest: Some(digest), delivery, .. } = told else { return None };
        let before = lock(&self.state).model.replace((source.clone(), digest.clone()));
        let (_, old) = before.filter(|(of, old)| of == source && old != digest)?;
        (*delivery != Some(Delivery::Builtin)).then(|| {
            format!(
                "{source} holds another model than before, {digest} in place of {old}: set spec.model.digest, or name a commit or a digest in the source, where that must not happen"
            )
        })
    }

    /// What is said of a ReplicaSet whose place another has taken comes too late.
    fn change_digest(&self, replica_set: &str, change: impl FnOnce(&mut DigestKnown)) {
        if let Some(known) = lock(&self.state).digest.as_mut().filter(|known| &*known.replica_set == replica_set) {
            change(known);
        }
    }

    /// Notes what a kubelet last warned of.
    pub(crate) fn note_warning(&self, pod: Uid, words: Option<Arc<str>>, now: Instant) {
        lock(&self.state).warning = Some((pod, words, now));
    }
}

#[cfg(test)]
mod tests;
