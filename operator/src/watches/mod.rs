//! What the operator watches, and what it keeps of it.
//!
//! Each watch is bounded in time (a load balancer may drop an idle connection without a word), limited by label to our
//! own children where that is possible, and of each object only what is read is kept. The first lists come one after the
//! other and in small pages: their bodies are the most memory that the operator ever needs.

mod cache;
mod config_maps;
mod followers;
mod meta;
mod names;
mod objects;
mod optional;
pub(crate) mod owners;

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, channel::mpsc, future, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::ReplicaSet, core::v1::Pod},
};
use kube::{
    Api, Client, Resource,
    core::DynamicObject,
    runtime::{
        reflector::{self, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::meta::is_stray;
pub use self::{
    cache::{Cache, Kept},
    meta::{Meta, Owner, Uid},
    names::Names,
    optional::Installed,
};
use self::{
    config_maps::ConfigMapSeen,
    followers::{Below, Children, ConfigMaps, Running, Services, Triggers},
    objects::{follow, is_missing},
};
use crate::{
    api::{MANAGER, ServiceRef, Stored},
    backoff,
    build::labels,
    children::{ChildFacts, ChildKind, Declaration, KINDS},
    facts,
    metrics::Metrics,
};

/// Shorter than the idle time-out of any common load balancer.
pub(crate) const WATCH_SECONDS: u32 = 180;

/// Objects in one page of a list. Those of others may carry what their users like: 250 kB in annotations each.
const PAGE: u32 = 20;
const PAGE_OF_OTHERS: u32 = 10;

/// How long a watch waits for the one before it.
const NEXT: Duration = Duration::from_secs(5);
/// The longest time between two questions for a kind whose CustomResourceDefinition is there.
const LATER: Duration = Duration::from_secs(10);

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

    fn api_of(&self, declaration: &Declaration, client: &Client) -> Api<DynamicObject> {
        let resource = (declaration.resource)();
        match self {
            Self::Cluster => Api::all_with(client.clone(), &resource),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        }
    }
}

/// Everything that was watched, as last seen. Clones share it.
#[derive(Clone)]
pub struct Stores {
    /// Custom resources.
    pub services: Store<Stored>,
    /// Children of the Deployments.
    pub replica_sets: Cache<facts::ReplicaSet>,
    /// Children of the ReplicaSets.
    pub pods: Cache<Arc<facts::Pod>>,
    /// Texts that they have in common.
    pub names: Names,
    /// By [`ChildKind`].
    children: Arc<[Cache<ChildFacts>; KINDS.len()]>,
    installed: Arc<[Installed; KINDS.len()]>,
    /// Of all ConfigMaps the name and version: those of users have no label of ours.
    config_maps: Cache<()>,
    whole: Arc<[CancellationToken]>,
    deployments_whole: CancellationToken,
}

impl Stores {
    /// A child of this kind and name.
    #[must_use]
    pub fn child(&self, kind: ChildKind, namespace: &str, name: &str) -> Option<Arc<Kept<ChildFacts>>> {
        self.children[kind as usize].get(namespace, name)
    }

    /// The children of a kind.
    #[must_use]
    pub fn children(&self, kind: ChildKind) -> &Cache<ChildFacts> {
        &self.children[kind as usize]
    }

    /// Whether the cluster has this kind, as far as is known.
    #[must_use]
    pub fn installed(&self, kind: ChildKind) -> &Installed {
        &self.installed[kind as usize]
    }

    /// The facts of a Deployment.
    #[must_use]
    pub fn deployment(&self, namespace: &str, name: &str) -> Option<Box<facts::Deployment>> {
        self.child(ChildKind::Deployment, namespace, name)?.facts.deployment().cloned().map(Box::new)
    }

    /// The `resourceVersion` of a ConfigMap, if the watch has seen it.
    #[must_use]
    pub fn config_map_version(&self, namespace: &str, name: &str) -> Option<u64> {
        Some(self.config_maps.get(namespace, name)?.meta.version)
    }

    /// The ReplicaSet of a Deployment's current revision.
    #[must_use]
    pub fn current_replica_set(
        &self,
        deployment: Uid,
        facts: &facts::Deployment,
    ) -> Option<Arc<Kept<facts::ReplicaSet>>> {
        let mut replica_sets = self.replica_sets.owned_by(deployment).into_iter();
        replica_sets.find(|one| one.facts.revision.is_some() && one.facts.revision == facts.revision)
    }

    /// The pods of a ReplicaSet, by name.
    #[must_use]
    pub fn pods_of(&self, replica_set: Uid) -> Vec<Arc<Kept<Arc<facts::Pod>>>> {
        self.pods.owned_by(replica_set)
    }

    /// Waits until every watch has been answered in full once. A verdict of less would be wrong.
    pub async fn whole(&self) {
        future::join_all(self.whole.iter().map(CancellationToken::cancelled)).await;
    }

    /// Waits until all Deployments of this scope have been seen.
    pub async fn deployments_whole(&self) {
        self.deployments_whole.cancelled().await;
    }
}

/// The watches of a scope.
pub struct Watches {
    /// What they have seen.
    pub stores: Stores,
    /// The services that have to be looked at, as often as something tells of them.
    pub looks: mpsc::UnboundedReceiver<ServiceRef>,
    /// They run for as long as this is kept.
    pub tasks: JoinSet<()>,
}

/// Starts the watches of a scope.
#[must_use]
pub fn start(client: &Client, scope: &Scope, metrics: &Metrics) -> Watches {
    let (services, writer) = reflector::store();
    let whole: Vec<CancellationToken> = (0..KINDS.len() + 4).map(|_| CancellationToken::new()).collect();
    let stores = Stores {
        services,
        replica_sets: Cache::default(),
        pods: Cache::default(),
        names: Names::default(),
        children: Arc::default(),
        installed: Arc::default(),
        config_maps: Cache::default(),
        deployments_whole: whole[2 + ChildKind::Deployment as usize].clone(),
        whole: whole.into(),
    };
    let (sender, looks) = mpsc::unbounded();
    let triggers = Triggers { looks: sender, metrics: metrics.clone() };
    let mut starts = Starts { stores: &stores, metrics, tasks: JoinSet::new(), started: 0 };

    // While nothing is held yet, there is most room for what others have put into theirs.
    let events = watcher(scope.api::<ConfigMapSeen>(client), config(PAGE_OF_OTHERS));
    let follower = ConfigMaps { stores: stores.clone(), triggers: triggers.clone() };
    starts.watch(&ConfigMapSeen::kind(&()), events, follower);
    let events = watcher(scope.api::<Stored>(client), config(PAGE_OF_OTHERS));
    let follower = Services::new(writer, triggers.clone());
    starts.watch(&Stored::kind(&()), events, follower);
    for declaration in &KINDS {
        let api = scope.api_of(declaration, client);
        let (of_kind, triggers) = (stores.clone(), triggers.clone());
        let follower = move || Children { declaration, stores: of_kind.clone(), triggers: triggers.clone() };
        let kind = (declaration.resource)().kind;
        if let Some(missing) = declaration.optional {
            let installed = stores.installed(declaration.kind).clone();
            starts.watch_optional(kind, api, follower, missing.definition, installed, client.clone());
        } else {
            starts.watch(&kind, watcher(api, children_config()), follower());
        }
    }
    starts.watch_below::<ReplicaSet>(client, scope, &triggers);
    starts.watch_below::<Pod>(client, scope, &triggers);
    let tasks = starts.tasks;
    Watches { stores, looks, tasks }
}

/// Starts watches one after the other: each begins when the one before has been answered.
struct Starts<'a> {
    stores: &'a Stores,
    metrics: &'a Metrics,
    tasks: JoinSet<()>,
    started: usize,
}

impl Starts<'_> {
    fn watch<K>(
        &mut self,
        kind: &str,
        events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
        follower: impl objects::Follow<K> + 'static,
    ) where
        K: Resource + Clone + Debug + Send + 'static,
    {
        let (kind, metrics) = (kind.to_owned(), self.metrics.clone());
        self.start(&kind.clone(), |whole| async move { follow(&kind, events, follower, whole, metrics).await });
    }

    fn watch_below<K>(&mut self, client: &Client, scope: &Scope, triggers: &Triggers)
    where
        K: Below + Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let follower = Running { stores: self.stores.clone(), triggers: triggers.clone() };
        self.watch::<K>(&K::kind(&()), watcher(scope.api::<K>(client), children_config()), follower);
    }

    /// Like [`watch`](Self::watch), but the absence of the kind is a state and no fault.
    fn watch_optional<F: objects::Follow<DynamicObject> + 'static>(
        &mut self,
        kind: String,
        api: Api<DynamicObject>,
        follower: impl Fn() -> F + Send + 'static,
        definition: &'static str,
        installed: Installed,
        client: Client,
    ) {
        let metrics = self.metrics.clone();
        self.start(&kind.clone(), |whole| async move {
            let mut tries = 0;
            loop {
                let events = watcher(api.clone(), children_config()).map(move |event| (is_gone(&event), event));
                // The watch ends where it is told that there is no such kind.
                let events = events.take_while(|(is_gone, _)| future::ready(!is_gone)).map(|(_, event)| event);
                let found = installed.clone();
                let events = events.inspect(move |event| {
                    if matches!(event, Ok(watcher::Event::InitDone)) {
                        found.set(true);
                    }
                });
                follow(&kind, events, follower(), whole.clone(), metrics.clone()).await;
                let mut left = follower();
                left.begins();
                left.complete();
                tries = if installed.is_missing() { tries + 1 } else { 1 };
                installed.set(false);
                whole.cancel();
                // One that was just made is served a moment later.
                sleep(backoff::delay(tries, fastrand::f64(), LATER)).await;
                optional::may_be_there(&client, definition).await;
            }
        });
    }

    fn start<T: Future<Output = ()> + Send + 'static>(
        &mut self,
        kind: &str,
        task: impl FnOnce(CancellationToken) -> T,
    ) {
        self.metrics.watching(kind);
        let whole = self.stores.whole[self.started].clone();
        let before = self.started.checked_sub(1).map(|place| self.stores.whole[place].clone());
        self.started += 1;
        let task = task(whole);
        self.tasks.spawn(async move {
            if let Some(before) = before {
                // One that isn't answered must not keep the others from being watched for ever.
                let _ = timeout(NEXT, before.cancelled()).await;
            }
            task.await;
        });
    }
}

fn is_gone(event: &watcher::Result<watcher::Event<DynamicObject>>) -> bool {
    event.as_ref().is_err_and(is_missing)
}

/// Items for each time that an optional kind was found, or found to be gone.
pub(crate) fn installations(stores: &Stores) -> impl Stream<Item = ()> + Send + Sync + 'static {
    let optional = KINDS.iter().filter(|declaration| declaration.optional.is_some());
    let changes = optional.map(|declaration| -> Pin<Box<dyn Stream<Item = ()> + Send + Sync>> {
        Box::pin(stores.installed(declaration.kind).changes())
    });
    stream::select_all(changes)
}

fn config(page: u32) -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(page)
}

/// Our own children, by label.
fn children_config() -> watcher::Config {
    config(PAGE).labels(&format!("{}={MANAGER}", labels::MANAGED_BY))
}
