//! Writes the status, and an Event for what a person would act on.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ObjectReference},
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde_json::json;

use crate::{
    api::{ConditionType, MANAGER, ModelStatus, Reason, SentimentService, SentimentServiceStatus},
    apply::{Applied, Change},
    build::labels,
    lock::lock,
    observe::{Counts, Observation},
    rollouts::Held,
    validate::ValidatedService,
    watches::Guarded,
};

/// Events take at most 1 kB of text.
const LONGEST_NOTE: usize = 1000;

/// What is said again within this time is counted, as kube's recorder does it.
const REPEATED_WITHIN: Duration = Duration::from_mins(6);

/// The status of a service that was observed.
#[must_use]
pub fn observed_status(
    service: &ValidatedService,
    observation: &Observation,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) -> SentimentServiceStatus {
    let Counts { total, updated, ready, available } = observation.counts;
    SentimentServiceStatus {
        observed_generation: service.generation,
        conditions: conditions(
            observation.reason,
            &observation.message,
            available,
            service.generation,
            &previous.conditions,
            now,
        ),
        replicas: total,
        ready_replicas: ready,
        updated_replicas: updated,
        available_replicas: available,
        selector: Some(labels::selector_text(service)),
        url: Some(format!("http://{}.{}.svc:{}", service.name, service.namespace, service.service_port)),
        image: Some(service.image.to_string()),
        model: Some(ModelStatus {
            name: service.model_name.clone(),
            source: "builtin".to_owned(),
            digest: observation.image_digest.clone(),
        }),
    }
}

/// The status of a service whose current spec could not be built or applied. What runs of an
/// older spec goes on, so all but the conditions and `counts` stays as it was.
#[must_use]
pub fn failed_status(
    generation: Option<i64>,
    reason: Reason,
    message: &str,
    counts: Counts,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) -> SentimentServiceStatus {
    let Counts { total, updated, ready, available } = counts;
    SentimentServiceStatus {
        observed_generation: generation,
        conditions: conditions(reason, message, available, generation, &previous.conditions, now),
        replicas: total,
        ready_replicas: ready,
        updated_replicas: updated,
        available_replicas: available,
        ..previous.clone()
    }
}

/// Adds to the status of a service that its new template waits. Its pods go on serving the same
/// spec, so it stays ready; `Reconciling` says what is to come.
pub fn tell_held(
    status: &mut SentimentServiceStatus,
    held: Held,
    deployment: &Deployment,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) {
    let image =
        deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.containers.first()?.image.clone());
    status.image = image.or_else(|| status.image.take());
    let note = held.message();
    let is = |condition: &Condition, type_: ConditionType| condition.type_ == type_.as_str();
    let stalled = status.conditions.iter().any(|old| is(old, ConditionType::Stalled) && old.status == "True");
    for condition in &mut status.conditions {
        if stalled {
            // Nothing goes on in a stalled service; but the template that waits may be its cure.
            if is(condition, ConditionType::Ready) || is(condition, ConditionType::Stalled) {
                condition.message = format!("{}; {note}", condition.message);
            }
        } else if is(condition, ConditionType::Reconciling) {
            if condition.status == "True" {
                condition.message = format!("{}; {note}", condition.message);
            } else {
                let before = previous.conditions.iter().find(|old| is(old, ConditionType::Reconciling));
                let since = before.filter(|old| old.status == "True").map(|old| old.last_transition_time.clone());
                "True".clone_into(&mut condition.status);
                condition.reason = Reason::RollingOut.to_string();
                condition.message.clone_from(&note);
                condition.last_transition_time = since.unwrap_or(Time(now));
            }
        }
    }
}

fn conditions(
    reason: Reason,
    message: &str,
    available: i32,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let stalled = !reason.is_settled() && !reason.may_pass();
    ConditionType::ALL
        .into_iter()
        .map(|type_| {
            let (holds, message) = match type_ {
                ConditionType::Ready => (reason == Reason::Serving, message.to_owned()),
                ConditionType::Available => (available > 0, format!("{available} replicas take traffic")),
                ConditionType::Reconciling => (reason.may_pass(), message.to_owned()),
                ConditionType::Stalled => (stalled, message.to_owned()),
            };
            let status = if holds { "True" } else { "False" };
            let unchanged = previous.iter().find(|old| old.type_ == type_.as_str() && old.status == status);
            Condition {
                type_: type_.as_str().to_owned(),
                status: status.to_owned(),
                reason: reason.to_string(),
                message,
                observed_generation: generation,
                last_transition_time: unchanged.map_or(Time(now), |old| old.last_transition_time.clone()),
            }
        })
        .collect()
}

/// The reason of the `Ready` condition.
fn ready_reason(status: &SentimentServiceStatus) -> Option<&str> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
    ready.map(|condition| condition.reason.as_str())
}

/// What an Event says: of which object, by uid, with which reason and which note.
type Said = (Option<String>, String, String);

/// Writes statuses and Events.
pub struct Publisher {
    client: Client,
    /// One for all that was said of late. A recorder tells a repetition by all but the note, and keeps that of the first.
    recorders: Mutex<HashMap<Said, (Instant, Recorder)>>,
}

impl Publisher {
    /// A publisher that writes as this operator.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, recorders: Mutex::default() }
    }

    /// Writes `status`, unless it is what the object has, and an Event where the reason is new.
    pub async fn publish(
        &self,
        object: &Guarded,
        status: &SentimentServiceStatus,
        previous: &SentimentServiceStatus,
    ) -> Result<(), kube::Error> {
        if status == previous {
            return Ok(());
        }
        let name = object.name_any();
        let api: Api<SentimentService> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": SentimentService::api_version(&()),
            "kind": SentimentService::kind(&()),
            "metadata": {"name": name},
            "status": status,
        });
        api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await?;

        if ready_reason(status) != ready_reason(previous)
            && let Some(ready) = status.conditions.first()
        {
            tracing::info!(
                name,
                namespace = object.namespace(),
                reason = ready.reason,
                message = ready.message,
                "status changed"
            );
            let settled = ready.status == "True"
                || Reason::ALL
                    .iter()
                    .any(|reason| reason.as_str() == ready.reason && (reason.is_settled() || reason.may_pass()));
            let type_ = if settled { EventType::Normal } else { EventType::Warning };
            self.event(object, type_, &ready.reason, "Reconcile", &ready.message).await;
        }
        Ok(())
    }

    /// Tells of children that somebody changed or removed, and that were put back.
    pub async fn repairs(&self, object: &Guarded, applied: &Applied) {
        let repaired: Vec<&str> = applied
            .changes
            .iter()
            .filter(|(_, change)| *change == Change::Repaired)
            .map(|(kind, _)| kind.as_str())
            .collect();
        if !repaired.is_empty() {
            let note = format!("{} was changed or deleted by hand; put back what the spec says", repaired.join(", "));
            self.event(object, EventType::Normal, "Repaired", "Apply", &note).await;
        }
    }

    /// Tells of a pod that its node ends.
    pub async fn evicted(&self, object: &Guarded, note: &str) {
        self.event(object, EventType::Warning, "PodEvicted", "Evict", note).await;
    }

    /// An Event that can't be written is no reason to fail: it only tells what was done.
    async fn event(&self, object: &Guarded, type_: EventType, reason: &str, action: &str, note: &str) {
        let note: String = note.chars().take(LONGEST_NOTE).collect();
        let recorder = self.recorder((object.uid(), reason.to_owned(), note.clone()));
        let event =
            Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None };
        if let Err(error) = recorder.publish(&event, &reference(object)).await {
            tracing::warn!(%error, reason, "an event could not be written");
        }
    }

    fn recorder(&self, said: Said) -> Recorder {
        let now = Instant::now();
        let mut recorders = lock(&self.recorders);
        recorders.retain(|_, (last, _)| now.duration_since(*last) < REPEATED_WITHIN);
        let new = || (now, Recorder::new(self.client.clone(), Reporter::from(MANAGER)));
        let (last, recorder) = recorders.entry(said).or_insert_with(new);
        *last = now;
        recorder.clone()
    }
}

fn reference(object: &Guarded) -> ObjectReference {
    ObjectReference {
        api_version: Some(SentimentService::api_version(&()).into_owned()),
        kind: Some(SentimentService::kind(&()).into_owned()),
        name: object.meta().name.clone(),
        namespace: object.meta().namespace.clone(),
        uid: object.meta().uid.clone(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn holds(status: &SentimentServiceStatus) -> Vec<&str> {
        let holding = status.conditions.iter().filter(|condition| condition.status == "True");
        holding.map(|condition| condition.type_.as_str()).collect()
    }

    fn status_of(reason: Reason, available: i32) -> SentimentServiceStatus {
        let counts = Counts { available, ..Counts::default() };
        failed_status(Some(1), reason, "why", counts, &SentimentServiceStatus::default(), at(0))
    }

    #[test]
    fn conditions_tell_what_kstatus_needs() {
        assert_eq!(holds(&status_of(Reason::Serving, 2)), ["Ready", "Available"]);
        assert_eq!(holds(&status_of(Reason::RollingOut, 2)), ["Available", "Reconciling"]);
        assert_eq!(holds(&status_of(Reason::RollingOut, 0)), ["Reconciling"]);
        assert_eq!(holds(&status_of(Reason::Suspended, 0)), Vec::<&str>::new());
        assert_eq!(holds(&status_of(Reason::Unschedulable, 0)), ["Reconciling"]);
        assert_eq!(holds(&status_of(Reason::ImagePullFailed, 2)), ["Available", "Stalled"]);
    }

    #[test]
    fn every_failure_is_either_waited_for_or_stalled() {
        for reason in Reason::ALL {
            let status = status_of(reason, 0);
            let holding = holds(&status);
            let progress = holding.iter().filter(|type_| ["Reconciling", "Stalled"].contains(type_)).count();
            assert_eq!(progress, usize::from(!reason.is_settled()), "{reason}");
        }
    }

    #[test]
    fn a_transition_time_moves_with_the_status_only() {
        let first = status_of(Reason::RollingOut, 0);
        let second = failed_status(Some(2), Reason::Unschedulable, "no node", Counts::default(), &first, at(60));
        let time = |status: &SentimentServiceStatus, index: usize| status.conditions[index].last_transition_time.0;
        assert_eq!(time(&second, 0), at(0), "Ready stays False");
        let third = failed_status(Some(2), Reason::CrashLooping, "exit 1", Counts::default(), &second, at(90));
        assert_eq!(time(&third, 3), at(90), "Stalled turns True");
    }

    /// A status after its template was held back, seconds later than the status before.
    fn held(reason: Reason, previous: &SentimentServiceStatus) -> SentimentServiceStatus {
        let counts = Counts { available: previous.available_replicas, ..Counts::default() };
        let mut status = failed_status(Some(1), reason, "why", counts, previous, at(60));
        let deployment = serde_json::from_value(json!({"spec": {
            "selector": {}, "template": {"spec": {"containers": [{"name": "sentiment", "image": "v1"}]}},
        }}));
        tell_held(&mut status, Held::behind(2), &deployment.unwrap(), previous, at(60));
        status
    }

    #[test]
    fn a_template_that_waits_leaves_the_service_ready() {
        let first = held(Reason::Serving, &status_of(Reason::Serving, 2));
        assert_eq!(holds(&first), ["Ready", "Available", "Reconciling"]);
        assert_eq!(first.image.as_deref(), Some("v1"), "the image that runs");
        let reconciling = &first.conditions[2];
        assert_eq!((reconciling.reason.as_str(), reconciling.last_transition_time.0), ("RollingOut", at(60)));
        assert!(
            reconciling.message.starts_with("waiting: 2 other services are rolling out"),
            "{}",
            reconciling.message
        );
        let mut later = first.clone();
        later.conditions[2].last_transition_time = Time(at(30));
        assert_eq!(held(Reason::Serving, &later).conditions[2].last_transition_time.0, at(30));
    }

    #[test]
    fn a_template_that_waits_hides_no_failure() {
        let crashing = held(Reason::CrashLooping, &status_of(Reason::CrashLooping, 1));
        assert_eq!(holds(&crashing), ["Available", "Stalled"]);
        assert!(crashing.conditions[0].message.starts_with("why; waiting: "), "{}", crashing.conditions[0].message);
        let unschedulable = held(Reason::Unschedulable, &status_of(Reason::Unschedulable, 1));
        assert_eq!(unschedulable.conditions[2].reason, "Unschedulable");
        assert!(unschedulable.conditions[2].message.starts_with("why; waiting: "));
    }

    #[test]
    fn a_failure_keeps_what_is_known_of_the_old_replicas() {
        let previous = SentimentServiceStatus {
            available_replicas: 2,
            ready_replicas: 2,
            url: Some("http://reviews.demo.svc:8000".to_owned()),
            ..SentimentServiceStatus::default()
        };
        let left = Counts { total: 1, ready: 1, available: 1, updated: 0 };
        let status = failed_status(Some(9), Reason::InvalidSpec, "spec.replicas is -1", left, &previous, at(0));
        assert_eq!((status.available_replicas, status.ready_replicas, status.url), (1, 1, previous.url));
        assert_eq!(status.observed_generation, Some(9));
    }
}
