//! The one place that writes children: server-side apply, in a fixed order.
//!
//! An autoscaler that is no longer asked for goes first, so that it doesn't set back the number of
//! pods that the spec now gives. Then ServiceAccount, NetworkPolicy, Service, Deployment: pods need
//! the account to be admitted, should never run without their policy, and the Service's address
//! should exist when the first is ready. Then what refers to the pods. The other children that are
//! no longer asked for go last, when nothing uses them any more.
//!
//! A child is written only when the spec asks for something new or when a field that we set has
//! been changed or removed. Fields of others are never looked at, so there is no tug of war.

mod error;
mod ledger;
mod projection;
mod scale;

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::Status,
    runtime::reflector::{ObjectRef, Store},
};
use serde::Serialize;

pub use self::error::ApplyError;
pub use self::ledger::Ledger;
use self::projection::project;
use crate::{
    api::MANAGER,
    build::Children,
    kind::Kind,
    validate::ValidatedService,
    watches::{Installed, Stores},
};

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It didn't exist.
    Created,
    /// The spec asked for something new.
    Updated,
    /// Somebody had changed or removed what we set.
    Repaired,
    /// The spec no longer asks for it.
    Pruned,
}

/// Children as the cluster has them: only [`Applier::apply`] makes one, so a status is never
/// computed from wishes.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The pods.
    pub deployment: Arc<Deployment>,
    /// Kind and change of each child that something was done to.
    pub changes: Vec<(String, Change)>,
    /// Children whose kind this cluster doesn't have.
    pub missing: Vec<MissingApi>,
}

/// A kind that the spec asks for and this cluster doesn't have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingApi {
    /// The kind, with its API.
    pub kind: &'static str,
    /// Who brings it.
    pub provider: &'static str,
    /// The field that asks for it.
    pub field: &'static str,
}

impl fmt::Display for MissingApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, provider, field } = self;
        write!(
            f,
            "{field} needs the kind {kind}, which this cluster doesn't have: install {provider}, which is then taken up without a restart, or remove {field}"
        )
    }
}

const POD_MONITOR: MissingApi = MissingApi {
    kind: "PodMonitor (monitoring.coreos.com/v1)",
    provider: "the Prometheus Operator",
    field: "spec.monitoring",
};
const HTTP_ROUTE: MissingApi =
    MissingApi { kind: "HTTPRoute (gateway.networking.k8s.io/v1)", provider: "the Gateway API", field: "spec.route" };

/// Applies children and remembers what it applied.
pub struct Applier {
    client: Client,
    ledger: Ledger,
}

impl Applier {
    /// An applier that remembers nothing yet: it writes each child once.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, ledger: Ledger::default() }
    }

    /// Brings the cluster in line with `children`.
    pub async fn apply(
        &self,
        service: &ValidatedService,
        children: &Children,
        stores: &Stores,
    ) -> Result<Applied, ApplyError> {
        let mut done = Vec::new();
        self.prune(children.autoscaler.as_ref(), &stores.autoscalers, service, &mut done).await?;
        self.ensure_some(children.service_account.as_ref(), &stores.service_accounts, &mut done).await?;
        self.ensure_some(children.network_policy.as_ref(), &stores.network_policies, &mut done).await?;
        self.ensure(&children.service, &stores.services, &mut done).await?;
        let deployment = self.ensure_deployment(service, &children.deployment, stores, &mut done).await?;
        self.ensure_some(children.autoscaler.as_ref(), &stores.autoscalers, &mut done).await?;
        self.ensure_some(children.disruption_budget.as_ref(), &stores.disruption_budgets, &mut done).await?;
        let missing = [
            self.ensure_where_installed(
                children.pod_monitor.as_ref(),
                &stores.pod_monitors,
                &stores.pod_monitors_installed,
                &mut done,
            )
            .await?
            .then_some(POD_MONITOR),
            self.ensure_where_installed(children.route.as_ref(), &stores.routes, &stores.routes_installed, &mut done)
                .await?
                .then_some(HTTP_ROUTE),
        ];

        self.prune(children.service_account.as_ref(), &stores.service_accounts, service, &mut done).await?;
        self.prune(children.network_policy.as_ref(), &stores.network_policies, service, &mut done).await?;
        self.prune(children.disruption_budget.as_ref(), &stores.disruption_budgets, service, &mut done).await?;
        self.prune(children.pod_monitor.as_ref(), &stores.pod_monitors, service, &mut done).await?;
        self.prune(children.route.as_ref(), &stores.routes, service, &mut done).await?;
        Ok(Applied { deployment, changes: done, missing: missing.into_iter().flatten().collect() })
    }

    /// Forgets the children of a service that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.ledger.forget(namespace, name);
    }

    async fn ensure_some<K: Kind>(
        &self,
        desired: Option<&K>,
        store: &Store<K>,
        done: &mut Vec<(String, Change)>,
    ) -> Result<(), ApplyError> {
        match desired {
            Some(desired) => self.ensure(desired, store, done).await.map(drop),
            None => Ok(()),
        }
    }

    /// Whether the child is wanted and its kind isn't there.
    async fn ensure_where_installed<K: Kind>(
        &self,
        desired: Option<&K>,
        store: &Store<K>,
        installed: &Installed,
        done: &mut Vec<(String, Change)>,
    ) -> Result<bool, ApplyError> {
        let Some(desired) = desired else { return Ok(false) };
        if installed.is_missing() {
            return Ok(true);
        }
        match self.ensure(desired, store, done).await {
            Ok(_) => Ok(false),
            // The watch has not found out yet.
            Err(ApplyError::Unreachable { source, .. }) if is_missing_api(&source) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Writes a child, unless the cluster has it as it should be already.
    async fn ensure<K: Kind>(
        &self,
        desired: &K,
        store: &Store<K>,
        done: &mut Vec<(String, Change)>,
    ) -> Result<Arc<K>, ApplyError> {
        let child = Child::of(desired);
        let wanted = to_value(desired);
        let known = self.ledger.get(&child.key());
        let asked_before = known.as_ref().is_some_and(|entry| entry.desired == wanted);
        let live = store.get(&ObjectRef::from_obj(desired));

        if let Some(live) = &live {
            child.check_owner(live.owner_references(), desired.owner_references())?;
            if asked_before && known.is_some_and(|entry| entry.projection == project(&to_value(&**live), &wanted)) {
                return Ok(live.clone());
            }
        }

        let api: Api<K> = Api::namespaced(self.client.clone(), &child.namespace);
        // The watch sees only objects with our label, and it may lag behind.
        let before = match live {
            Some(live) => Some(live),
            None => api.get_opt(&child.name).await.map_err(|error| child.failed(error))?.map(Arc::new),
        };
        if let Some(before) = &before {
            child.check_owner(before.owner_references(), desired.owner_references())?;
        }
        let after = match child.write(&api, desired).await {
            Err(ApplyError::Refused { status, .. }) if status.code == 422 && before.is_some() => {
                child.overwrite(&api, desired, status).await?
            }
            written => written?,
        };
        self.ledger.insert(child.key(), wanted.clone(), project(&to_value(&after), &wanted));

        let change = match before {
            None if asked_before => Some(Change::Repaired),
            None => Some(Change::Created),
            Some(before) if before.resource_version() == after.resource_version() => None,
            Some(_) if asked_before => Some(Change::Repaired),
            Some(_) => Some(Change::Updated),
        };
        if let Some(change) = change {
            child.note(change, done);
        }
        Ok(Arc::new(after))
    }

    /// Deletes the child of this kind that an earlier spec asked for, where this one doesn't.
    /// Without one, it asks nothing.
    async fn prune<K: Kind>(
        &self,
        desired: Option<&K>,
        store: &Store<K>,
        service: &ValidatedService,
        done: &mut Vec<(String, Change)>,
    ) -> Result<(), ApplyError> {
        if desired.is_some() {
            return Ok(());
        }
        let Some(live) = store.get(&ObjectRef::new(&service.name).within(&service.namespace)) else { return Ok(()) };
        let child = Child::of(&*live);
        self.ledger.remove(&child.key());
        let is_ours = live.owner_references().iter().any(|owner| owner.uid == service.owner.uid);
        if !is_ours || live.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &child.namespace);
        // Not one of the same name that somebody has made since.
        let preconditions = Preconditions { uid: live.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match api.delete(&child.name, &params).await {
            Ok(_) => {
                child.note(Change::Pruned, done);
                Ok(())
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(child.failed(error)),
        }
    }
}

/// The names of a child, for requests and messages.
struct Child {
    kind: String,
    name: String,
    namespace: String,
}

impl Child {
    fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
        }
    }

    fn key(&self) -> ledger::Key {
        ledger::Key { namespace: self.namespace.clone(), name: self.name.clone(), kind: self.kind.clone() }
    }

    fn failed(&self, error: kube::Error) -> ApplyError {
        let (kind, name) = (self.kind.clone(), self.name.clone());
        match error {
            kube::Error::Api(status) if is_terminating(&status) => ApplyError::Terminating(self.namespace.clone()),
            // 409 here is a lost race, 429 a request to wait.
            kube::Error::Api(status)
                if (400..500).contains(&status.code) && !matches!(status.code, 404 | 409 | 429) =>
            {
                ApplyError::Refused { kind, name, status }
            }
            source => ApplyError::Unreachable { kind, name, source: Box::new(source) },
        }
    }

    fn note(&self, change: Change, done: &mut Vec<(String, Change)>) {
        let Self { kind, name, namespace } = self;
        tracing::info!(kind, name, namespace, ?change, "applied");
        done.push((kind.clone(), change));
    }

    /// Taking over an object that somebody else made would change what runs without being asked.
    fn check_owner(&self, live: &[OwnerReference], desired: &[OwnerReference]) -> Result<(), ApplyError> {
        let (kind, name) = (self.kind.clone(), self.name.clone());
        let controller = live.iter().find(|owner| owner.controller == Some(true));
        match (controller, desired.first()) {
            (Some(live), Some(ours)) if live.uid == ours.uid => Ok(()),
            (Some(live), Some(ours)) if live.kind == ours.kind && live.name == ours.name => {
                Err(ApplyError::Leftover { kind, name })
            }
            _ => Err(ApplyError::NotOurs { kind, name }),
        }
    }

    /// Some edits by hand can't be merged with what we apply: another port of the same name, a
    /// `valueFrom` beside our `value`. A merge patch replaces whole lists, and so undoes them; the
    /// apply after it takes the fields back. What can't be written that way either was refused for
    /// its own sake, with the answer `refusal`.
    async fn overwrite<K: Kind>(&self, api: &Api<K>, desired: &K, refusal: Box<Status>) -> Result<K, ApplyError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        if api.patch(&self.name, &params, &Patch::Merge(desired)).await.is_err() {
            return Err(self.failed(kube::Error::Api(refusal)));
        }
        self.write(api, desired).await
    }

    /// Server-side apply. A field that was changed by hand is taken back; one that another tool
    /// declares is not, since the two would go on for ever.
    async fn write<K: Kind>(&self, api: &Api<K>, desired: &K) -> Result<K, ApplyError> {
        let params = PatchParams::apply(MANAGER);
        let status = match api.patch(&self.name, &params, &Patch::Apply(desired)).await {
            Ok(after) => return Ok(after),
            Err(kube::Error::Api(status)) if status.code == 409 => status,
            Err(error) => return Err(self.failed(error)),
        };
        let live = api.get_metadata(&self.name).await.map_err(|error| self.failed(error))?;
        let contested = contested_fields(&status, live.managed_fields());
        if !contested.is_empty() {
            return Err(ApplyError::Contested {
                kind: self.kind.clone(),
                name: self.name.clone(),
                conflicts: contested.join(", "),
            });
        }
        api.patch(&self.name, &params.force(), &Patch::Apply(desired)).await.map_err(|error| self.failed(error))
    }
}

/// Whether a request was refused since its namespace is being terminated.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Whether a request failed since there is no such kind: the answer is a bare 404, and names no object.
fn is_missing_api(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404
        && status.details.as_ref().is_none_or(|details| details.name.is_empty() && details.kind.is_empty()))
}

/// The conflicts with managers that apply, as opposed to an edit or a patch by hand.
fn contested_fields(status: &Status, managers: &[ManagedFieldsEntry]) -> Vec<String> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes
        .iter()
        .filter(|cause| {
            // The message is: conflict with "NAME" using VERSION
            let manager = cause.message.split('"').nth(1).filter(|manager| *manager != scale::MANAGER);
            managers.iter().any(|entry| {
                manager.is_some() && entry.manager.as_deref() == manager && entry.operation.as_deref() == Some("Apply")
            })
        })
        .map(|cause| format!("{} ({})", cause.field, cause.message))
        .collect()
}

/// Kubernetes objects have string keys only, so they always have a JSON form.
fn to_value<K: Serialize>(object: &K) -> serde_json::Value {
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests;
