//! Writes the status, and an Event for what a person would act on.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::events::EventType,
};
use serde_json::json;

use crate::{
    api::{ConditionType, MANAGER, Reason, SentimentService, SentimentServiceStatus, Stored, version},
    apply::{Applied, Change},
    hash::fnv1a,
    lock::lock,
};

/// Events take at most 1 kB of text.
const LONGEST_NOTE: usize = 1000;

/// What is said again within this time is counted, as kube's recorder does it.
const REPEATED_WITHIN: Duration = Duration::from_mins(6);

/// Below this many there is nothing to gain by giving back the room of those that are no longer counted.
const FEW: usize = 64;

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

/// An Event that was written of late.
struct Told {
    name: String,
    times: i32,
    at: Instant,
}

/// Writes statuses and Events.
pub struct Publisher {
    client: Client,
    /// What was said of late, by the hash of the object's uid, the reason and the note: kube's recorder tells a repetition
    /// without the note, and keeps each Event as a whole.
    told: Mutex<HashMap<u64, Told>>,
}

impl Publisher {
    /// A publisher that writes as this operator.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, told: Mutex::default() }
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

    /// Tells of a model that has changed though nothing in the spec has.
    pub async fn model_changed(&self, object: &Stored, note: &str) {
        self.event(object, EventType::Warning, "ModelChanged", "Observe", note).await;
    }

    /// An Event that can't be written is no reason to fail: it only tells what was done.
    async fn event(&self, object: &Stored, type_: EventType, reason: &str, action: &str, note: &str) {
        let note: String = note.chars().take(LONGEST_NOTE).collect();
        let said = fnv1a(format!("{:?} {reason} {note}", object.uid()).as_bytes());
        if let Err(error) = self.tell(object, type_, reason, action, note, said).await {
            tracing::warn!(%error, reason, "an event could not be written");
        }
    }

    async fn tell(
        &self,
        object: &Stored,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
        said: u64,
    ) -> kube::Result<()> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        if let Some((name, times)) = self.told_before(said) {
            let series = EventSeries { count: times, last_observed_time: MicroTime(Timestamp::now()) };
            match events.patch(&name, &PatchParams::default(), &Patch::Merge(json!({ "series": series }))).await {
                // The API server forgets them after an hour, or somebody has removed it.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                counted => return counted.map(drop),
            }
        }
        let event = event(object, type_, reason, action, note);
        let made = events.create(&PostParams::default(), &event).await?;
        let told = Told { name: made.name_any(), times: 1, at: Instant::now() };
        lock(&self.told).insert(said, told);
        Ok(())
    }

    /// The Event that says the same, and how often it has been said with this time.
    fn told_before(&self, said: u64) -> Option<(String, i32)> {
        let now = Instant::now();
        let mut told = lock(&self.told);
        told.retain(|_, told| now.duration_since(told.at) < REPEATED_WITHIN);
        if told.capacity() > 4 * told.len().max(FEW) {
            told.shrink_to_fit();
        }
        let before = told.get_mut(&said)?;
        (before.times, before.at) = (before.times.saturating_add(1), now);
        Some((before.name.clone(), before.times))
    }
}

fn event(object: &Stored, type_: EventType, reason: &str, action: &str, note: String) -> Event {
    let now = Timestamp::now();
    let type_ = match type_ {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    };
    Event {
        metadata: ObjectMeta {
            // As client-go names them.
            name: Some(format!("{}.{:x}", object.name_any(), now.as_nanosecond())),
            namespace: object.namespace(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        regarding: Some(reference(object)),
        reporting_controller: Some(MANAGER.to_owned()),
        reporting_instance: Some(MANAGER.to_owned()),
        type_: Some(type_.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        note: Some(note),
        ..Event::default()
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

    fn stored() -> Stored {
        let metadata = json!({"name": "reviews", "namespace": "demo", "uid": "0f8fad5b-d9cb-469f-a165-70867728950e"});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[tokio::test]
    async fn what_is_said_again_is_counted_and_other_words_are_an_event_of_their_own() {
        let server = crate::testing::Server::new();
        let publisher = Publisher::new(server.client());
        let object = stored();
        for note in ["pod a is ended", "pod a is ended", "pod b is ended"] {
            publisher.evicted(&object, note).await;
        }
        let told = || {
            let events = server.all("events.k8s.io", "events");
            let count = |event: &serde_json::Value| event.pointer("/series/count").and_then(serde_json::Value::as_i64);
            let mut told: Vec<_> =
                events.iter().map(|event| (event["note"].as_str().unwrap().to_owned(), count(event))).collect();
            told.sort();
            told
        };
        assert_eq!(told(), [("pod a is ended".to_owned(), Some(2)), ("pod b is ended".to_owned(), None)]);

        for event in server.all("events.k8s.io", "events") {
            let name = event["metadata"]["name"].as_str().unwrap();
            server.remove("events.k8s.io", "events", "demo", name);
        }
        publisher.evicted(&object, "pod a is ended").await;
        assert_eq!(told(), [("pod a is ended".to_owned(), None)], "one that is gone is made anew");
    }
}
