//! An API server in memory.

mod handling;
mod ownership;
mod refusal;
mod store;
mod watching;
mod writing;

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::sync::watch;
use tower::{BoxError, Layer};

use self::{
    store::{Key, Store},
    writing::Writer,
};
use super::{AnswerBody, Faults, Faulty};
use crate::{api_requests::ApiRequests, lock::lock, runtime::client::over};

/// An API server in memory, with [`Faults`] on the way to it. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Server {
    service: Service,
    faults: Faults,
}

/// The server itself, with nothing on the way.
#[derive(Clone, Debug)]
pub struct Service {
    store: Arc<Mutex<Store>>,
    /// The version of the last change.
    changed: watch::Sender<u64>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server without any object. It knows every kind.
    #[must_use]
    pub fn new() -> Self {
        let service = Service { store: Arc::default(), changed: watch::Sender::new(0) };
        Self { service, faults: Faults::new() }
    }

    /// What happens on the way to it.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The service that a client is built over, faults included.
    #[must_use]
    pub fn service(&self) -> Faulty<Service> {
        self.faults.layer(self.service.clone())
    }

    /// A client as the operator has it, with bounds and faults.
    #[must_use]
    pub fn client(&self) -> Client {
        over(self.service(), &uncounted())
    }

    /// A client with a way of its own, where nothing fails.
    #[must_use]
    pub fn client_apart(&self) -> Client {
        over(Faults::new().layer(self.service.clone()), &uncounted())
    }

    /// Stores an object as another program would, its status included, and returns it as it is stored. Its fields
    /// belong to the manager `test`.
    #[expect(clippy::must_use_candidate, reason = "what it does is the point")]
    pub fn put(&self, object: Value) -> Value {
        self.put_as("test", object)
    }

    /// The same for a manager of one's choice, as `kubectl edit` has it.
    #[expect(clippy::must_use_candidate, reason = "what it does is the point")]
    pub fn put_as(&self, manager: &str, mut object: Value) -> Value {
        let mut store = lock(&self.service.store);
        let key = key_of(&object);
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let writer = Writer { manager, subresource: "" };
        let stored = writing::updated(store.objects.get(&key), object.clone(), writer).unwrap_or(object);
        let stored = store.write(key, stored);
        self.service.tell(&store);
        stored
    }

    /// Changes an object as a manager, by a function of what is stored. Whether there is such an object.
    pub fn edit(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        manager: &str,
        edit: impl FnOnce(&mut Value),
    ) -> bool {
        let Some(mut object) = self.get(group, resource, namespace, name) else { return false };
        edit(&mut object);
        self.put_as(manager, object);
        true
    }

    /// An object as it is stored.
    #[must_use]
    pub fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        lock(&self.service.store).objects.get(&key(group, resource, namespace, name)).cloned()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn all(&self, group: &str, resource: &str) -> Vec<Value> {
        let store = lock(&self.service.store);
        let is_of = |key: &Key| key.group == group && key.resource == resource;
        store.objects.iter().filter(|(key, _)| is_of(key)).map(|(_, object)| object.clone()).collect()
    }

    /// Takes an object away, as the garbage collector does.
    #[expect(clippy::must_use_candidate, reason = "what it does is the point")]
    pub fn remove(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut store = lock(&self.service.store);
        let removed = store.remove(&key(group, resource, namespace, name));
        self.service.tell(&store);
        removed
    }

    /// The managers of an object, each as `NAME OPERATION`.
    #[must_use]
    pub fn managers(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Vec<String> {
        let object = self.get(group, resource, namespace, name).unwrap_or_default();
        ownership::managers(&object).iter().map(|manager| format!("{} {}", manager.name, manager.operation)).collect()
    }

    /// Has a kind not installed, by its plural name.
    pub fn uninstall(&self, resource: &str) {
        lock(&self.service.store).missing.insert(resource.to_owned());
    }

    /// Has it installed again.
    pub fn install(&self, resource: &str) {
        lock(&self.service.store).missing.remove(resource);
    }

    /// From now on volumes of images are dropped, as by an API server with the feature gate off, or are not.
    pub fn drop_image_volumes(&self, drop: bool) {
        lock(&self.service.store).drops_image_volumes = drop;
    }

    /// Begins to take a namespace away: nothing new is made in it.
    pub fn terminate(&self, namespace: &str) {
        lock(&self.service.store).terminating.insert(namespace.to_owned());
    }

    /// Forgets what has happened so far: who watches from an earlier version is told that it is too old.
    pub fn forget_history(&self) {
        let mut store = lock(&self.service.store);
        store.forgotten = store.version;
        store.history.clear();
    }
}

/// Counters that nobody reads.
fn uncounted() -> ApiRequests {
    ApiRequests::register(&mut prometheus_client::registry::Registry::default())
}

fn key(group: &str, resource: &str, namespace: &str, name: &str) -> Key {
    let [group, resource, namespace, name] = [group, resource, namespace, name].map(str::to_owned);
    Key { group, resource, namespace, name }
}

/// Where an object belongs by what it says of itself.
fn key_of(object: &Value) -> Key {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    key(group, &plural(text("/kind")), text("/metadata/namespace"), text("/metadata/name"))
}

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

impl Service {
    fn tell(&self, store: &Store) {
        self.changed.send_replace(store.version);
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<AnswerBody>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        handling::answer(self.clone(), request).boxed()
    }
}
