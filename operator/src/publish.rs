//! Writes the status, and an Event for what a person would act on.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use serde_json::json;

use crate::{
    api::{ConditionType, MANAGER, Reason, SentimentService, SentimentServiceStatus, Stored, version},
    apply::{Applied, Change},
    lock::lock,
};

/// Events take at most 1 kB of text.
const LONGEST_NOTE: usize = 1000;

/// What is said again within this time is counted, as kube's recorder does it.
const REPEATED_WITHIN: Duration = Duration::from_mins(6);

/// What is worth an Event.
#[derive(Clone, Debug, PartialEq)]
struct News {
    type_: EventType,
    reason: &'static str,
    note: String,
}

/// What is new in a status. That a rollout goes on is none: it ends in an Event of its own, whichever way.
fn news(status: &SentimentServiceStatus, previous: &SentimentServiceStatus) -> Vec<News> {
    let mut news = Vec::new();
    if let (Some(ready), Some(reason)) = (status.condition(ConditionType::Ready), status.reason())
        && Some(reason) != previous.reason()
        && reason != Reason::RollingOut
    {
        let type_ = if reason.is_settled() || reason.may_pass() { EventType::Normal } else { EventType::Warning };
        news.push(News { type_, reason: reason.as_str(), note: ready.message.clone() });
    }
    for (type_, reason) in [(ConditionType::Scaling, "ScalingFailed"), (ConditionType::Published, "PublishingFailed")] {
        let is_false = |condition: &Condition| condition.status == "False";
        if let Some(failed) = status.condition(type_)
            && is_false(failed)
            && !previous.condition(type_).is_some_and(is_false)
        {
            news.push(News { type_: EventType::Warning, reason, note: failed.message.clone() });
        }
    }
    news
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

    /// Writes `status`, and an Event for what is new in it against `previous`. Whether it is worth that,
    /// [`worth_writing`](crate::status::worth_writing) decides. Returns the version of the object since.
    pub async fn publish(
        &self,
        object: &Stored,
        status: &SentimentServiceStatus,
        previous: &SentimentServiceStatus,
    ) -> Result<u64, kube::Error> {
        let name = object.name_any();
        let api: Api<Stored> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let patch = json!({
            "apiVersion": SentimentService::api_version(&()),
            "kind": SentimentService::kind(&()),
            "metadata": {"name": name},
            "status": status,
        });
        let written = api.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await?;

        if let Some(ready) = status.condition(ConditionType::Ready)
            && status.reason() != previous.reason()
        {
            tracing::info!(
                name,
                namespace = object.namespace(),
                reason = ready.reason,
                message = ready.message,
                "status changed"
            );
        }
        for news in news(status, previous) {
            self.event(object, news.type_, news.reason, "Reconcile", &news.note).await;
        }
        Ok(version(written.meta()))
    }

    /// Tells of children that somebody changed or removed, and that were put back.
    pub async fn repairs(&self, object: &Stored, applied: &Applied) {
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
    pub async fn evicted(&self, object: &Stored, note: &str) {
        self.event(object, EventType::Warning, "PodEvicted", "Evict", note).await;
    }

    /// An Event that can't be written is no reason to fail: it only tells what was done.
    async fn event(&self, object: &Stored, type_: EventType, reason: &str, action: &str, note: &str) {
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

fn reference(object: &Stored) -> ObjectReference {
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
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "why".to_owned(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    fn status(conditions: Vec<Condition>) -> SentimentServiceStatus {
        SentimentServiceStatus { conditions, ..SentimentServiceStatus::default() }
    }

    fn ready(reason: Reason) -> SentimentServiceStatus {
        status(vec![condition("Ready", "False", reason.as_str())])
    }

    fn told(status: &SentimentServiceStatus, previous: &SentimentServiceStatus) -> Vec<(EventType, &'static str)> {
        news(status, previous).into_iter().map(|news| (news.type_, news.reason)).collect()
    }

    #[test]
    fn a_new_service_is_one_event_when_it_serves() {
        let nothing = SentimentServiceStatus::default();
        let (rolling, serving) = (ready(Reason::RollingOut), ready(Reason::Serving));
        assert_eq!(told(&rolling, &nothing), []);
        assert_eq!(told(&serving, &rolling), [(EventType::Normal, "Serving")]);
        assert_eq!(told(&serving, &serving), []);
        assert_eq!(told(&ready(Reason::CrashLooping), &rolling), [(EventType::Warning, "CrashLooping")]);
        assert_eq!(told(&ready(Reason::QuotaExceeded), &rolling), [(EventType::Normal, "QuotaExceeded")]);
    }

    #[test]
    fn a_part_that_turns_false_is_an_event_of_its_own() {
        for (type_, reason) in [("Scaling", "ScalingFailed"), ("Published", "PublishingFailed")] {
            let failing = status(vec![condition(type_, "False", "Inactive")]);
            let waiting = status(vec![condition(type_, "Unknown", "Waiting")]);
            assert_eq!(told(&failing, &SentimentServiceStatus::default()), [(EventType::Warning, reason)]);
            assert_eq!(told(&failing, &waiting), [(EventType::Warning, reason)]);
            assert_eq!(told(&failing, &failing), []);
            assert_eq!(told(&waiting, &failing), []);
        }
    }
}
