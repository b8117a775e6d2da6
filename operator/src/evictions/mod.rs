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
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::{
    api::{core::v1::Pod, events::v1::Event},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, Preconditions, WatchEvent, WatchParams},
    runtime::reflector::ObjectRef,
};
use tokio::time::{Instant, timeout};

use self::allowance::Allowance;
pub use self::allowance::Refusals;
use crate::{
    backoff,
    facts::{self, Eviction},
    lock::lock,
    metrics::Metrics,
    publish::Publisher,
    watches::{self, Guarded, Scope, Stores, WATCH_SECONDS},
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

/// Takes pods that are evicted by their nodes out of their services.
pub struct Evictions {
    client: Client,
    /// The last one of each service.
    announced: Mutex<HashMap<ObjectRef<Guarded>, Eviction>>,
    /// What may be asked for: an Event is only a word.
    allowance: Mutex<Allowance<ObjectRef<Guarded>, ObjectRef<Pod>>>,
}

impl Evictions {
    /// Knows of none yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, announced: Mutex::default(), allowance: Mutex::default() }
    }

    /// What a kubelet last said of a pod of this service.
    #[must_use]
    pub fn last(&self, service: &ObjectRef<Guarded>) -> Option<Eviction> {
        lock(&self.announced).get(service).cloned()
    }

    /// Drops what is known of a service that is gone.
    pub fn forget(&self, service: &ObjectRef<Guarded>) {
        lock(&self.announced).remove(service);
    }

    /// Listens for evictions in a scope. Has no end.
    pub async fn follow(&self, scope: &Scope, stores: &Stores, publisher: &Publisher, metrics: &Metrics) {
        // A field selector takes one reason.
        future::join_all(REASONS.map(|reason| self.listen(reason, scope, stores, publisher, metrics))).await;
    }

    async fn listen(&self, reason: &str, scope: &Scope, stores: &Stores, publisher: &Publisher, metrics: &Metrics) {
        let kind = Event::kind(&());
        let events = scope.api(&self.client);
        metrics.watching(&kind);
        metrics.watch_started(&kind);
        let mut failures = 0;
        loop {
            let followed = async {
                let announcements = announcements(&events, reason).await?;
                failures = 0;
                let taken_out = |event| async move {
                    self.take_out(&event, stores, publisher, metrics).await;
                    Ok(())
                };
                announcements.try_for_each_concurrent(AT_A_TIME, taken_out).await
            };
            if let Err(error) = followed.await {
                failures += 1;
                metrics.watch_failed(&kind);
                tracing::warn!(%kind, %error, "watch interrupted, trying again");
                tokio::time::sleep(backoff::delay(failures, fastrand::f64())).await;
                metrics.watch_started(&kind);
            }
        }
    }

    /// Takes the pod that an Event speaks of out of its service, if it is ours and has not ended yet.
    async fn take_out(&self, event: &Event, stores: &Stores, publisher: &Publisher, metrics: &Metrics) {
        let Some((pod, service)) = concerned(event, stores) else { return };
        let why = event.note.as_deref().unwrap_or("the kubelet doesn't say why").trim();
        let reason = event.reason.as_deref().unwrap_or_default();
        let eviction = Eviction { at: Timestamp::now(), why: format!("{reason}: {why}").into() };
        lock(&self.announced).insert(service.clone(), eviction);

        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let asked = {
            let gone = |pod: &ObjectRef<Pod>| stores.pods.get(pod).is_none();
            let this = ObjectRef::from_obj(&*pod);
            lock(&self.allowance).ask(service.clone(), this, is_protected(&service, stores), gone, Instant::now())
        };
        if let Err(refused) = asked {
            metrics.evictions_refused.count(refused);
            tracing::warn!(name, namespace, why, %refused, "a pod is ended by its node and stays in the service until then");
            return;
        }
        let outcome = match timeout(KILLED_AFTER, self.evict(&pod)).await {
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
        if let Some(object) = stores.services_wanted.get(&service) {
            publisher.evicted(&object, &format!("pod {name} is ended by its node and {outcome}: {why}")).await;
        }
    }

    async fn evict(&self, pod: &Pod) -> kube::Result<()> {
        let pods: Api<Pod> =
            Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let this_one = Preconditions { uid: pod.uid(), resource_version: None };
        let delete = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
        let params = EvictParams { delete_options: Some(delete), ..EvictParams::default() };
        pods.evict(&pod.name_any(), &params).await.map(drop)
    }
}

/// Whether a disruption budget keeps some of several pods.
fn is_protected(service: &ObjectRef<Guarded>, stores: &Stores) -> bool {
    let namespace = service.namespace.as_deref().unwrap_or_default();
    let has_budget = stores.disruption_budgets.get(&ObjectRef::new(&service.name).within(namespace)).is_some();
    let deployment = stores.deployments.get(&ObjectRef::new(&service.name).within(namespace));
    has_budget && deployment.and_then(|deployment| deployment.spec.as_ref()?.replicas).unwrap_or(1) > 1
}

/// The pod that an Event speaks of, and its service.
fn concerned(event: &Event, stores: &Stores) -> Option<(Arc<Pod>, ObjectRef<Guarded>)> {
    let told = event.regarding.as_ref()?;
    let pod = stores.pods.get(&ObjectRef::new(told.name.as_deref()?).within(told.namespace.as_deref()?))?;
    let service = watches::owner_by_label(&*pod)?;
    (pod.metadata.uid == told.uid && facts::Pod::of(&pod).is_live()).then_some((pod, service))
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
