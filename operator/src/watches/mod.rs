//! What the operator watches, and the stores that hold it.
//!
//! Each watch is bounded in time (a load balancer may drop an idle connection without a word),
//! limited by label to our own children where that is possible, and its objects are cut down to
//! the fields in use.

mod optional;

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Pod, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

pub use self::optional::Installed;
use crate::{
    api::{MANAGER, SentimentService},
    build::{
        external::{HttpRoute, PodMonitor},
        labels,
    },
    facts::REVISION,
    kind::Kind,
    metrics::Metrics,
    queue_metric::Queue,
};

/// A custom resource, or why it can't be read. An object that was stored under an older schema
/// must not stop the watch of all others.
pub type Guarded = DeserializeGuard<SentimentService>;

/// Shorter than the idle time-out of any common load balancer.
pub(crate) const WATCH_SECONDS: u32 = 180;

/// Where a set of watches looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// One scope for each namespace, or the whole cluster where none is named.
    #[must_use]
    pub fn of(namespaces: &[String]) -> Vec<Self> {
        if namespaces.is_empty() {
            vec![Self::Cluster]
        } else {
            namespaces.iter().cloned().map(Self::Namespace).collect()
        }
    }

    pub(crate) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Everything that was watched, as last seen.
#[derive(Clone)]
pub struct Stores {
    /// Custom resources.
    pub services_wanted: Store<Guarded>,
    /// Children.
    pub service_accounts: Store<ServiceAccount>,
    /// Children.
    pub network_policies: Store<NetworkPolicy>,
    /// Children.
    pub services: Store<Service>,
    /// Children.
    pub deployments: Store<Deployment>,
    /// Children.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// Children.
    pub disruption_budgets: Store<PodDisruptionBudget>,
    /// Children, where their API is installed.
    pub pod_monitors: Store<PodMonitor>,
    /// Whether it is.
    pub pod_monitors_installed: Installed,
    /// Children, where their API is installed.
    pub routes: Store<HttpRoute>,
    /// Whether it is.
    pub routes_installed: Installed,
    /// Children of the Deployments.
    pub replica_sets: Store<ReplicaSet>,
    /// Children of the ReplicaSets.
    pub pods: Store<Pod>,
    /// Of all ConfigMaps the name and version: those of users have no label of ours.
    config_maps: Store<PartialObjectMeta<ConfigMap>>,
    answered: Vec<CancellationToken>,
    deployments_answered: CancellationToken,
}

impl Stores {
    /// The `resourceVersion` of a ConfigMap, if the watch has seen it.
    #[must_use]
    pub fn config_map_version(&self, namespace: &str, name: &str) -> Option<String> {
        self.config_maps.get(&ObjectRef::new(name).within(namespace))?.resource_version()
    }

    /// The ReplicaSet of the current revision of a Deployment.
    #[must_use]
    pub fn current_replica_set(&self, deployment: &Deployment) -> Option<Arc<ReplicaSet>> {
        let revision = deployment.annotations().get(REVISION)?;
        let owned = owned_by(&self.replica_sets, deployment.metadata.uid.as_deref());
        owned.into_iter().find(|replica_set| replica_set.annotations().get(REVISION) == Some(revision))
    }

    /// Pods of a ReplicaSet, by name.
    #[must_use]
    pub fn pods_of(&self, replica_set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let mut pods = owned_by(&self.pods, replica_set.metadata.uid.as_deref());
        pods.sort_by_key(|pod| pod.name_any());
        pods
    }

    /// Waits until every watch has been answered once.
    ///
    /// Not by `Store::wait_until_ready`: it wakes one waiter only, and the controller is one.
    pub async fn ready(&self) {
        future::join_all(self.answered.iter().map(CancellationToken::cancelled)).await;
    }

    /// Waits until all Deployments of this scope have been seen.
    pub async fn deployments_ready(&self) {
        self.deployments_answered.cancelled().await;
    }
}

fn owned_by<K>(store: &Store<K>, uid: Option<&str>) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let owned = |object: &K| object.owner_references().iter().any(|owner| Some(owner.uid.as_str()) == uid);
    store.state().into_iter().filter(|object| owned(object)).collect()
}

/// Starts the watches of a scope. The controller drives them and is triggered by them.
#[must_use]
pub fn start(client: &Client, scope: &Scope, metrics: &Metrics) -> (Controller<Guarded>, Stores) {
    let queue = &metrics.queue;
    let wanted = watch::<Guarded>(scope.api(client), watcher_config(), metrics);
    let deployments = watch_children::<Deployment>(client, scope, metrics);
    let deployments_answered = deployments.answered.clone();
    let (pod_monitors, pod_monitors_installed) = optional::watch_children::<PodMonitor>(client, scope, metrics);
    let (routes, routes_installed) = optional::watch_children::<HttpRoute>(client, scope, metrics);

    let mut answered = vec![wanted.answered];
    let noted = queue.clone();
    let events = wanted.events.inspect_ok(move |object| noted.enter(ObjectRef::from_obj(object)));
    let mut controller = Controller::for_stream(events, wanted.store.clone());
    // One line a kind: its store, and a controller that is triggered by it.
    macro_rules! follow {
        ($watch:expr, $owner:expr) => {{
            let watch = $watch;
            controller = controller.watches_stream(watch.events, $owner);
            answered.push(watch.answered);
            watch.store
        }};
    }
    let stores = Stores {
        service_accounts: follow!(watch_children::<ServiceAccount>(client, scope, metrics), enter_owner(queue)),
        network_policies: follow!(watch_children::<NetworkPolicy>(client, scope, metrics), enter_owner(queue)),
        services: follow!(watch_children::<Service>(client, scope, metrics), enter_owner(queue)),
        deployments: follow!(deployments, enter_owner(queue)),
        autoscalers: follow!(watch_children::<HorizontalPodAutoscaler>(client, scope, metrics), enter_owner(queue)),
        disruption_budgets: follow!(watch_children::<PodDisruptionBudget>(client, scope, metrics), enter_owner(queue)),
        pod_monitors: follow!(pod_monitors, enter_owner(queue)),
        routes: follow!(routes, enter_owner(queue)),
        replica_sets: follow!(watch_children::<ReplicaSet>(client, scope, metrics), enter_owner(queue)),
        pods: follow!(watch_children::<Pod>(client, scope, metrics), enter_owner(queue)),
        config_maps: follow!(watch_config_maps(client, scope, metrics), users_of(wanted.store.clone(), queue)),
        pod_monitors_installed: pod_monitors_installed.clone(),
        routes_installed: routes_installed.clone(),
        services_wanted: wanted.store,
        answered,
        deployments_answered,
    };
    // An API that comes or goes concerns every service that asks for a child of it.
    let controller =
        controller.reconcile_all_on(pod_monitors_installed.changes()).reconcile_all_on(routes_installed.changes());
    (controller, stores)
}

/// One watch: what it has seen, what it sees, and whether it has been answered.
struct Watch<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    events: BoxStream<'static, watcher::Result<K>>,
    answered: CancellationToken,
}

fn watcher_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Our own children, by label.
fn children_config() -> watcher::Config {
    watcher_config().labels(&format!("{}={MANAGER}", labels::MANAGED_BY))
}

fn watch_children<K: Kind>(client: &Client, scope: &Scope, metrics: &Metrics) -> Watch<K> {
    watch(scope.api(client), children_config(), metrics)
}

fn watch<K>(api: Api<K>, config: watcher::Config, metrics: &Metrics) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    follow(watcher(api, config), trim, required, metrics)
}

fn watch_config_maps(client: &Client, scope: &Scope, metrics: &Metrics) -> Watch<PartialObjectMeta<ConfigMap>> {
    let events = watcher(scope.api::<PartialObjectMeta<ConfigMap>>(client), watcher_config());
    let trim = |config_map: &mut PartialObjectMeta<ConfigMap>| {
        config_map.metadata.labels = None;
        config_map.metadata.annotations = None;
        config_map.metadata.owner_references = None;
        config_map.metadata.managed_fields = None;
    };
    follow(events, trim, required, metrics)
}

/// What an event means for the watch as a whole.
enum Told {
    /// It has been answered in full.
    Answered,
    /// It goes on.
    Nothing,
    /// It was interrupted, and tries again.
    Failed(String),
}

/// A kind that has to be there.
fn required<K>(event: &watcher::Result<watcher::Event<K>>) -> Told {
    match event {
        Ok(watcher::Event::InitDone) => Told::Answered,
        Ok(_) => Told::Nothing,
        Err(error) => Told::Failed(describe(error)),
    }
}

/// Keeps what a stream of events tells, cut down by `trim` and understood by `tell`.
fn follow<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    trim: impl Fn(&mut K) + Send + 'static,
    tell: impl Fn(&watcher::Result<watcher::Event<K>>) -> Told + Send + 'static,
    metrics: &Metrics,
) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let answered = CancellationToken::new();
    let done = answered.clone();
    let kind = K::kind(&());
    metrics.watching(&kind);
    let metrics = metrics.clone();
    let events = events
        .default_backoff()
        .modify(trim)
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::Init)) {
                metrics.watch_started(&kind);
            }
            match tell(event) {
                Told::Answered => done.cancel(),
                Told::Nothing => {}
                Told::Failed(error) => {
                    metrics.watch_failed(&kind);
                    tracing::warn!(%kind, error, "watch interrupted, trying again");
                }
            }
        })
        .touched_objects()
        // The controller has no use for the error: the watch has said it, and has its own back-off.
        .filter(|event| future::ready(event.is_ok()))
        .boxed();
    Watch { store, events, answered }
}

/// Bookkeeping of other managers is half of an object's size, and nobody reads it here.
fn trim<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// The custom resource of a child, a ReplicaSet or a pod.
pub(crate) fn owner_by_label<K: Resource>(object: &K) -> Option<ObjectRef<Guarded>> {
    let name = object.labels().get(labels::INSTANCE)?;
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}

/// Finds the custom resource of an object, which now waits to be looked at.
fn enter_owner<K: Resource>(queue: &Queue) -> impl Fn(K) -> Option<ObjectRef<Guarded>> + Send + Sync + 'static {
    let queue = queue.clone();
    move |object| {
        let owner = owner_by_label(&object)?;
        queue.enter(owner.clone());
        Some(owner)
    }
}

/// The custom resources that name a ConfigMap, which now wait to be looked at.
fn users_of(
    wanted: Store<Guarded>,
    queue: &Queue,
) -> impl Fn(PartialObjectMeta<ConfigMap>) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    let queue = queue.clone();
    move |config_map| {
        let uses = |object: &Guarded| {
            object.meta().namespace == config_map.metadata.namespace
                && object.0.as_ref().is_ok_and(|service| {
                    let name = service.spec.config_map_ref.as_ref().map(|reference| &reference.name);
                    name.is_some() && name == config_map.metadata.name.as_ref()
                })
        };
        let found: Vec<_> =
            wanted.state().iter().filter(|object| uses(object)).map(|object| ObjectRef::from_obj(&**object)).collect();
        for service in &found {
            queue.enter(service.clone());
        }
        found
    }
}

fn describe(error: &watcher::Error) -> String {
    if is_missing(error) {
        "this API is not installed in the cluster; for SentimentService, apply the CustomResourceDefinition that comes with the operator".to_owned()
    } else {
        error.to_string()
    }
}

/// Whether an API isn't there at all.
fn is_missing(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 404
    )
}
