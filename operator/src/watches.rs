//! What the operator watches, and the stores that hold it.
//!
//! Each watch is bounded in time (a load balancer may drop an idle connection without a word),
//! limited by label to our own children, and its objects are cut down to the fields in use.

use std::{fmt::Debug, sync::Arc};

use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{Pod, Service, ServiceAccount},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller, WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{MANAGER, SentimentService},
    build::labels,
    metrics::Metrics,
    queue::Queue,
};

/// A custom resource, or why it can't be read. An object that was stored under an older schema
/// must not stop the watch of all others.
pub type Guarded = DeserializeGuard<SentimentService>;

/// Shorter than the idle time-out of any common load balancer.
const WATCH_SECONDS: u32 = 180;

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

    fn api<K>(&self, client: &Client) -> Api<K>
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
    pub services: Store<Service>,
    /// Children.
    pub deployments: Store<Deployment>,
    /// Children of the Deployments.
    pub replica_sets: Store<ReplicaSet>,
    /// Children of the ReplicaSets.
    pub pods: Store<Pod>,
    answered: Vec<CancellationToken>,
    deployments_answered: CancellationToken,
}

impl Stores {
    /// The live object of the same name, if the watch has seen it.
    pub fn find<K>(&self, store: &Store<K>, object: &K) -> Option<Arc<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        store.get(&ObjectRef::from_obj(object))
    }

    /// ReplicaSets of a Deployment.
    #[must_use]
    pub fn replica_sets_of(&self, deployment: &Deployment) -> Vec<Arc<ReplicaSet>> {
        owned_by(&self.replica_sets, deployment.metadata.uid.as_deref())
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
    let services_wanted = watch::<Guarded>(scope.api(client), watcher_config(), metrics);
    let service_accounts = watch_children::<ServiceAccount>(client, scope, metrics);
    let services = watch_children::<Service>(client, scope, metrics);
    let deployments = watch_children::<Deployment>(client, scope, metrics);
    let replica_sets = watch_children::<ReplicaSet>(client, scope, metrics);
    let pods = watch_children::<Pod>(client, scope, metrics);

    let stores = Stores {
        services_wanted: services_wanted.store.clone(),
        service_accounts: service_accounts.store,
        services: services.store,
        deployments: deployments.store,
        deployments_answered: deployments.answered.clone(),
        replica_sets: replica_sets.store,
        pods: pods.store,
        answered: vec![
            services_wanted.answered,
            service_accounts.answered,
            services.answered,
            deployments.answered,
            replica_sets.answered,
            pods.answered,
        ],
    };
    let noted = metrics.queue.clone();
    let wanted = services_wanted.events.inspect_ok(move |object| noted.enter(ObjectRef::from_obj(object)));
    let queue = &metrics.queue;
    let controller = Controller::for_stream(wanted, services_wanted.store)
        .watches_stream(service_accounts.events, owner_by_label(queue))
        .watches_stream(services.events, owner_by_label(queue))
        .watches_stream(deployments.events, owner_by_label(queue))
        .watches_stream(replica_sets.events, owner_by_label(queue))
        .watches_stream(pods.events, owner_by_label(queue));
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

fn watch_children<K>(client: &Client, scope: &Scope, metrics: &Metrics) -> Watch<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let ours = format!("{}={MANAGER}", labels::MANAGED_BY);
    watch(scope.api(client), watcher_config().labels(&ours), metrics)
}

fn watch<K>(api: Api<K>, config: watcher::Config, metrics: &Metrics) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let answered = CancellationToken::new();
    let done = answered.clone();
    metrics.watching(&K::kind(&()));
    let metrics = metrics.clone();
    let events = watcher(api, config)
        .default_backoff()
        .modify(trim)
        .reflect(writer)
        .inspect(move |event| match event {
            Ok(watcher::Event::Init) => metrics.watch_started(&K::kind(&())),
            Ok(watcher::Event::InitDone) => done.cancel(),
            Ok(_) => {}
            Err(error) => {
                metrics.watch_failed(&K::kind(&()));
                tracing::warn!(kind = %K::kind(&()), error = %describe(error), "watch interrupted, trying again");
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

/// The custom resource of a child, a ReplicaSet or a pod, which now waits to be looked at.
fn owner_by_label<K: Resource>(queue: &Queue) -> impl Fn(K) -> Option<ObjectRef<Guarded>> + Send + Sync + 'static {
    let queue = queue.clone();
    move |object| {
        let name = object.labels().get(labels::INSTANCE)?;
        let owner = ObjectRef::new(name).within(object.meta().namespace.as_deref()?);
        queue.enter(owner.clone());
        Some(owner)
    }
}

fn describe(error: &watcher::Error) -> String {
    let missing = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    };
    if missing {
        "this API is not installed in the cluster; for SentimentService, apply the CustomResourceDefinition that comes with the operator".to_owned()
    } else {
        error.to_string()
    }
}
