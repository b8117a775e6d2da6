//! Pods that their node evicts leave their service while they still answer.
//!
//! A kubelet that is short of memory or disk, or a pod of which fills a volume, writes an Event, sends SIGTERM and kills
//! two seconds later. One that needs room for a critical pod does the same, with the pod's own grace period. It reports
//! the pod as not ready when it is dead: until then, and until every kube-proxy has heard of it, the Service sends
//! requests to a pod that can't answer them. So the operator listens for the Event and asks the eviction API for the
//! same pod: it leaves the Service's endpoints at once, and its ReplicaSet makes another. See
//! `docs/adr/0024-evicted-pods-leave-their-service-first.md`.

mod allowance;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::{
    api::{core::v1::Pod, events::v1::Event},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, EvictParams, ListParams, Preconditions, WatchEvent, WatchParams},
};
use tokio::time::{Instant, timeout};

use self::allowance::Allowance;
pub use self::allowance::Refusals;
use crate::{
    api::ServiceRef,
    backoff,
    children::ChildKind,
    facts::{self, Eviction},
    lock::lock,
    memory::Memories,
    metrics::Metrics,
    publish::Publisher,
    watches::{Kept, Meta, Scope, Stores, Uid, WATCH_SECONDS, owners},
};

/// Reasons of the Events that a kubelet writes before it ends a pod by itself: for want of something, or for the room
/// of a critical pod.
const REASONS: [&str; 2] = ["Evicted", "Preempting"];

/// Evictions that are asked for at the same time.
const AT_A_TIME: usize = 16;

/// From the kubelet's SIGTERM to its SIGKILL, when it evicts. When it preempts, the pod has more.
const KILLED_AFTER: Duration = Duration::from_secs(2);

/// What becomes of a pod that the eviction API keeps.
const KEPT: &str = "stays in the service until then: the eviction API did not let it go, most likely for its budget";

/// Namespace and name of a pod.
type PodName = (Arc<str>, Arc<str>);

/// What it takes to make something of an Event.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) memories: &'a Memories,
    pub(crate) publisher: &'a Publisher,
    pub(crate) metrics: &'a Metrics,
}

/// Takes pods that are evicted by their nodes out of their services.
pub struct Evictions {
    client: Client,
    /// What may be asked for: an Event is only a word.
    allowance: Mutex<Allowance<ServiceRef, PodName>>,
}

impl Evictions {
    /// Knows of none yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, allowance: Mutex::default() }
    }

    /// Listens for evictions in a scope. Has no end.
    pub(crate) async fn follow(&self, scope: &Scope, heard: Heard<'_>) {
        // A field selector takes one reason.
        future::join_all(REASONS.map(|reason| self.listen(reason, scope, heard))).await;
    }

    async fn listen(&self, reason: &str, scope: &Scope, heard: Heard<'_>) {
        let kind = Event::kind(&());
        let events = scope.api(&self.client);
        let metrics = heard.metrics;
        metrics.watching(&kind);
        metrics.watch_started(&kind);
        let mut failures = 0;
        loop {
            let followed = async {
                let announcements = announcements(&events, reason).await?;
                failures = 0;
                let taken_out = |event| async move {
                    self.take_out(&event, heard).await;
                    Ok(())
                };
                announcements.try_for_each_concurrent(AT_A_TIME, taken_out).await
            };
            if let Err(error) = followed.await {
                failures += 1;
                metrics.watch_failed(&kind);
                tracing::warn!(%kind, %error, "watch interrupted, trying again");
                tokio::time::sleep(backoff::delay(failures, fastrand::f64(), backoff::LONGEST_UNANSWERED)).await;
                metrics.watch_started(&kind);
            }
        }
    }

    /// Takes the pod that an Event speaks of out of its service, if it is ours and has not ended yet.
    async fn take_out(&self, event: &Event, heard: Heard<'_>) {
        let Heard { stores, memories, publisher, metrics } = heard;
        let Some((pod, service)) = concerned(event, stores) else { return };
        let why = event.note.as_deref().unwrap_or("the kubelet doesn't say why").trim();
        let reason = event.reason.as_deref().unwrap_or_default();
        let eviction = Eviction { at: Timestamp::now(), why: format!("{reason}: {why}").into() };
        if let Some(memory) = memories.known(&service) {
            memory.note_eviction(eviction);
        }

        let (name, namespace) = (&*pod.meta.name, &*pod.meta.namespace);
        let asked = {
            let gone = |(namespace, name): &PodName| stores.pods.get(namespace, name).is_none();
            let this = (pod.meta.namespace.clone(), pod.meta.name.clone());
            lock(&self.allowance).ask(service.clone(), this, is_protected(&service, stores), gone, Instant::now())
        };
        if let Err(refused) = asked {
            metrics.evictions_refused.count(refused);
            tracing::warn!(name, namespace, why, %refused, "a pod is ended by its node and stays in the service until then");
            return;
        }
        let outcome = match timeout(KILLED_AFTER, self.evict(&pod.meta)).await {
            Ok(Ok(())) => "was taken out of the service",
            // It has gone meanwhile.
            Ok(Err(kube::Error::Api(status))) if [404, 409].contains(&status.code) => return,
            Ok(Err(kube::Error::Api(status))) if status.code == 429 => KEPT,
            Err(_) => "stays in the service until then: the eviction API did not answer in time",
            Ok(Err(error)) => {
                tracing::warn!(name, namespace, %error, "an evicted pod could not be taken out of its service");
                return;
            }
        };
        tracing::info!(name, namespace, why, "a pod is ended by its node and {outcome}");
        if let Some(object) = stores.services.get(&service) {
            publisher.evicted(&object, &format!("pod {name} is ended by its node and {outcome}: {why}")).await;
        }
    }

    async fn evict(&self, pod: &Meta) -> kube::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let this_one = Preconditions { uid: Some(pod.uid.to_string()), resource_version: None };
        let delete = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        let params = EvictParams { delete_options: Some(delete), ..EvictParams::default() };
        pods.evict(&pod.name, &params).await.map(drop)
    }
}

/// Whether a disruption budget keeps some of several pods.
fn is_protected(service: &ServiceRef, stores: &Stores) -> bool {
    let namespace = service.namespace.as_deref().unwrap_or_default();
    let has_budget = stores.child(ChildKind::PodDisruptionBudget, namespace, &service.name).is_some();
    has_budget && stores.deployment(namespace, &service.name).is_some_and(|deployment| deployment.wanted() > 1)
}

/// The pod that an Event speaks of, and its service.
fn concerned(event: &Event, stores: &Stores) -> Option<(Arc<Kept<Arc<facts::Pod>>>, ServiceRef)> {
    let told = event.regarding.as_ref()?;
    let pod = stores.pods.get(told.namespace.as_deref()?, told.name.as_deref()?)?;
    let service = owners::of_pod(&pod.meta, stores)?;
    (told.uid.as_deref().map(Uid::of) == Some(pod.meta.uid) && pod.facts.is_live()).then_some((pod, service))
}

/// What is announced for this reason from now on, until the watch has had its time.
///
/// The API server has no cache of Events and reads all of them to list the few that are wanted: so only the version of
/// an empty page is asked for, and there is nothing to be said of pods that were evicted before.
async fn announcements(events: &Api<Event>, reason: &str) -> kube::Result<BoxStream<'static, kube::Result<Event>>> {
    let page = events.list_metadata(&ListParams::default().limit(1)).await?;
    let now = page.metadata.resource_version.unwrap_or_default();
    let from_kubelets = format!("reason={reason},regarding.kind=Pod,reportingController=kubelet");
    let params = WatchParams::default().fields(&from_kubelets).timeout(WATCH_SECONDS);
    let changes = events.watch(&params, &now).await?;
    let announced = changes.try_filter_map(|change| async {
        match change {
            WatchEvent::Added(event) | WatchEvent::Modified(event) => Ok(Some(event)),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => Ok(None),
            WatchEvent::Error(status) => Err(kube::Error::Api(status)),
        }
    });
    Ok(announced.boxed())
}
