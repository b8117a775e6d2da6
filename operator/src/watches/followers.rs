//! What is kept of each kind of object, and which service has to be looked at for it.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{
    Resource, ResourceExt,
    core::DynamicObject,
    runtime::{reflector::store::Writer, watcher},
};
use serde_json::Value;

use super::{Kept, Meta, Stores, Uid, config_maps::ConfigMapSeen, objects::Follow, owners};
use crate::{
    api::{ServiceRef, Stored},
    children::{ChildFacts, Declaration},
    facts,
    metrics::Metrics,
};

/// Where services are sent that have to be looked at.
#[derive(Clone)]
pub(super) struct Triggers {
    pub(super) looks: UnboundedSender<ServiceRef>,
    pub(super) metrics: Metrics,
}

impl Triggers {
    pub(super) fn look_at(&self, service: ServiceRef) {
        self.metrics.queue.enter(service.clone());
        // It fails when the controller has stopped, and then nothing is looked at any more.
        let _ = self.looks.unbounded_send(service);
    }

    fn look_at_some(&self, service: Option<ServiceRef>) {
        if let Some(service) = service {
            self.look_at(service);
        }
    }
}

/// The custom resources themselves.
pub(super) struct Services {
    writer: Writer<Stored>,
    triggers: Triggers,
    /// While a list comes in: whom it has named.
    listed: Option<HashSet<Uid>>,
    /// Whether a list has been complete. The first is kept apart until it is. Those after it are taken up one by one: two
    /// copies of all services would be the most that is ever held.
    whole: bool,
}

impl Services {
    pub(super) fn new(writer: Writer<Stored>, triggers: Triggers) -> Self {
        Self { writer, triggers, listed: None, whole: false }
    }

    fn apply(&mut self, event: &watcher::Event<Stored>) {
        self.writer.apply_watcher_event(event);
    }
}

fn uid(object: &Stored) -> Uid {
    Uid::of(object.meta().uid.as_deref().unwrap_or_default())
}

impl Follow<Stored> for Services {
    fn begins(&mut self) {
        self.listed = Some(HashSet::new());
        if !self.whole {
            self.apply(&watcher::Event::Init);
        }
    }

    fn seen(&mut self, object: Stored) {
        match &mut self.listed {
            Some(_) if !self.whole => self.apply(&watcher::Event::InitApply(object)),
            Some(listed) => {
                listed.insert(uid(&object));
                self.apply(&watcher::Event::Apply(object));
            }
            None => {
                let service = object.reference();
                self.apply(&watcher::Event::Apply(object));
                self.triggers.look_at(service);
            }
        }
    }

    fn gone(&mut self, object: Stored) {
        let service = object.reference();
        self.apply(&watcher::Event::Delete(object));
        self.triggers.look_at(service);
    }

    fn complete(&mut self) {
        let listed = self.listed.take().unwrap_or_default();
        if self.whole {
            let gone = |object: &&Arc<Stored>| !listed.contains(&uid(object));
            let gone: Vec<_> = self.writer.as_reader().state().iter().filter(gone).cloned().collect();
            for object in gone {
                self.gone(Stored::clone(&object));
            }
        } else {
            self.apply(&watcher::Event::InitDone);
            self.whole = true;
        }
        for object in self.writer.as_reader().state() {
            self.triggers.look_at(object.reference());
        }
    }
}

/// Children of one kind.
pub(super) struct Children {
    pub(super) declaration: &'static Declaration,
    pub(super) stores: Stores,
    pub(super) triggers: Triggers,
}

impl Children {
    fn cache(&self) -> &super::Cache<ChildFacts> {
        &self.stores.children[self.declaration.kind as usize]
    }

    fn look_at_owners(&self, metas: [Option<&Meta>; 2]) {
        let [now, before] = metas.map(|meta| meta.and_then(owners::of_child));
        if before != now {
            self.triggers.look_at_some(before);
        }
        self.triggers.look_at_some(now);
    }
}

impl Follow<DynamicObject> for Children {
    fn begins(&mut self) {
        self.cache().list_begins();
    }

    fn seen(&mut self, object: DynamicObject) {
        let Some(meta) = Meta::of(&object.metadata, &self.stores.names) else { return };
        // What belongs to no service is none of our business, whatever its labels say.
        if owners::of_child(&meta).is_none() {
            let before = self.cache().drop(&meta.namespace, &meta.name, meta.version);
            self.look_at_owners([None, before.as_ref().map(|kept| &kept.meta)]);
            return;
        }
        let facts = (self.declaration.facts)(serde_json::to_value(object).unwrap_or(Value::Null));
        let before = self.cache().keep(Kept { meta: meta.clone(), facts });
        self.look_at_owners([Some(&meta), before.as_ref().map(|kept| &kept.meta)]);
    }

    fn gone(&mut self, object: DynamicObject) {
        let Some(meta) = Meta::of(&object.metadata, &self.stores.names) else { return };
        let before = self.cache().drop(&meta.namespace, &meta.name, meta.version);
        self.look_at_owners([Some(&meta), before.as_ref().map(|kept| &kept.meta)]);
    }

    fn complete(&mut self) {
        for kept in self.cache().list_ends() {
            self.look_at_owners([Some(&kept.meta), None]);
        }
        // One that was made and deleted while nobody watched is in no list, and nothing tells of it.
        for service in self.stores.services.state() {
            self.triggers.look_at(ServiceRef::from_obj(&*service));
        }
    }
}

/// What runs below the Deployments: ReplicaSets and pods.
pub(super) trait Below: Resource<DynamicType = ()> + Clone + Debug + Send + 'static {
    /// What is kept of one.
    type Facts: Send + Sync + 'static;

    fn facts(&self) -> Self::Facts;
    fn cache(stores: &Stores) -> &super::Cache<Self::Facts>;
    fn service(meta: &Meta, stores: &Stores) -> Option<ServiceRef>;
    /// The kind of its controller.
    const CONTROLLER: &'static str;
}

impl Below for ReplicaSet {
    type Facts = facts::ReplicaSet;

    const CONTROLLER: &'static str = "Deployment";

    fn facts(&self) -> facts::ReplicaSet {
        facts::ReplicaSet::of(self)
    }

    fn cache(stores: &Stores) -> &super::Cache<facts::ReplicaSet> {
        &stores.replica_sets
    }

    fn service(meta: &Meta, stores: &Stores) -> Option<ServiceRef> {
        owners::of_replica_set(meta, stores)
    }
}

impl Below for Pod {
    type Facts = Arc<facts::Pod>;

    const CONTROLLER: &'static str = "ReplicaSet";

    fn facts(&self) -> Arc<facts::Pod> {
        Arc::new(facts::Pod::of(self))
    }

    fn cache(stores: &Stores) -> &super::Cache<Arc<facts::Pod>> {
        &stores.pods
    }

    fn service(meta: &Meta, stores: &Stores) -> Option<ServiceRef> {
        owners::of_pod(meta, stores)
    }
}

/// Keeps one of these kinds.
pub(super) struct Running {
    pub(super) stores: Stores,
    pub(super) triggers: Triggers,
}

impl<K: Below> Follow<K> for Running {
    fn begins(&mut self) {
        K::cache(&self.stores).list_begins();
    }

    fn seen(&mut self, object: K) {
        let Some(meta) = Meta::of(object.meta(), &self.stores.names) else { return };
        if meta.owner.as_ref().is_none_or(|owner| &*owner.kind != K::CONTROLLER) {
            K::cache(&self.stores).drop(&meta.namespace, &meta.name, meta.version);
            return;
        }
        // Nobody applies these but their controllers.
        let meta = Meta { fields: None, applied: None, has_strays: false, ..meta };
        K::cache(&self.stores).keep(Kept { meta: meta.clone(), facts: object.facts() });
        self.triggers.look_at_some(K::service(&meta, &self.stores));
    }

    fn gone(&mut self, object: K) {
        let Some(meta) = Meta::of(object.meta(), &self.stores.names) else { return };
        K::cache(&self.stores).drop(&meta.namespace, &meta.name, meta.version);
        self.triggers.look_at_some(K::service(&meta, &self.stores));
    }

    fn complete(&mut self) {
        for kept in K::cache(&self.stores).list_ends() {
            self.triggers.look_at_some(K::service(&kept.meta, &self.stores));
        }
    }
}

/// The ConfigMaps of users: their versions.
pub(super) struct ConfigMaps {
    pub(super) stores: Stores,
    pub(super) triggers: Triggers,
}

impl ConfigMaps {
    fn look_at_users(&self, namespace: &str, name: &str) {
        let uses = |object: &Stored| {
            object.config_map() == Some(name) && object.meta().namespace.as_deref() == Some(namespace)
        };
        for service in self.stores.services.state_filter(uses) {
            self.triggers.look_at(service.reference());
        }
    }
}

impl Follow<ConfigMapSeen> for ConfigMaps {
    fn begins(&mut self) {
        self.stores.config_maps.list_begins();
    }

    fn seen(&mut self, object: ConfigMapSeen) {
        let Some(meta) = Meta::of(object.meta(), &self.stores.names) else { return };
        self.stores.config_maps.keep(Kept { meta, facts: () });
        self.look_at_users(&object.namespace().unwrap_or_default(), &object.name_any());
    }

    fn gone(&mut self, object: ConfigMapSeen) {
        let Some(meta) = Meta::of(object.meta(), &self.stores.names) else { return };
        self.stores.config_maps.drop(&meta.namespace, &meta.name, meta.version);
        self.look_at_users(&meta.namespace, &meta.name);
    }

    fn complete(&mut self) {
        for kept in self.stores.config_maps.list_ends() {
            self.look_at_users(&kept.meta.namespace, &kept.meta.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;

    fn service(name: &str, version: &str) -> Stored {
        let uid = format!("uid-of-{name}");
        let metadata = json!({"namespace": "demo", "name": name, "uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn a_later_list_is_taken_up_as_it_comes_and_drops_who_is_not_in_it_at_its_end() {
        let (store, writer) = reflector::store();
        let (looks, mut asked) = mpsc::unbounded();
        let mut services = Services::new(writer, Triggers { looks, metrics: Metrics::default() });
        let held = || {
            let mut held: Vec<_> = store.state().iter().map(|object| (object.name_any(), object.version())).collect();
            held.sort();
            held
        };
        let mut looks = || {
            let mut looks = Vec::new();
            while let Ok(service) = asked.try_recv() {
                looks.push(service.name);
            }
            looks.sort();
            looks
        };
        services.begins();
        services.seen(service("a", "1"));
        services.seen(service("b", "2"));
        assert_eq!((held(), looks()), (vec![], vec![]), "half of the first list is no list");
        services.complete();
        assert_eq!(held(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(looks(), ["a", "b"]);

        services.begins();
        services.seen(service("b", "3"));
        services.seen(service("c", "4"));
        assert_eq!(held(), [("a".to_owned(), 1), ("b".to_owned(), 3), ("c".to_owned(), 4)]);
        // One that fails in its middle begins again.
        services.begins();
        services.seen(service("c", "4"));
        services.complete();
        assert_eq!(held(), [("c".to_owned(), 4)]);
        assert_eq!(looks(), ["a", "b", "c"]);
    }
}
