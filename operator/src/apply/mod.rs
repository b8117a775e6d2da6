//! The one place that writes children: server-side apply, in a fixed order.
//!
//! ServiceAccount, Service, Deployment: pods need the account to be admitted, and the Service's
//! address should exist when the first pod is ready.
//!
//! A child is written only when the spec asks for something new or when a field that we set has
//! been changed or removed. Fields of others are never looked at, so there is no tug of war.

mod ledger;
mod projection;

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Service, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::Status,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::ledger::Ledger;
use self::projection::project;
use crate::{
    api::{MANAGER, Reason},
    build::Children,
    watches::Stores,
};

/// Why a child could not be applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// An object of that name exists, and isn't a child of this service.
    #[error(
        "{kind} {name} exists already and doesn't belong to this SentimentService: delete it, or choose another name for one of the two"
    )]
    NotOurs {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The child of an earlier service of the same name is still being removed.
    #[error("waiting for {kind} {name} of the earlier SentimentService of this name to be removed")]
    Leftover {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Another declarative tool applies a field that we set.
    #[error("another manager applies the same fields of {kind} {name}: {conflicts}: remove them there")]
    Contested {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Managers and fields, in the API server's words.
        conflicts: String,
    },
    /// The namespace is going, and takes everything along.
    #[error("namespace {0} is being terminated")]
    Terminating(String),
    /// The API server refused a request.
    #[error("{kind} {name} was refused: {}", status.message)]
    Refused {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's answer.
        status: Box<Status>,
    },
    /// The API server could not be asked, or had a fault of its own.
    #[error("{kind} {name} could not be applied: {source}")]
    Unreachable {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// The condition reason, or `None` where a repetition will most likely do.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { status, .. } if status.message.contains("exceeded quota") => Some(Reason::QuotaExceeded),
            Self::NotOurs { .. } | Self::Contested { .. } | Self::Refused { .. } => Some(Reason::ApplyFailed),
            Self::Leftover { .. } | Self::Terminating(_) | Self::Unreachable { .. } => None,
        }
    }
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing was to be done.
    None,
    /// It didn't exist.
    Created,
    /// The spec asked for something new.
    Updated,
    /// Somebody had changed or removed what we set.
    Repaired,
}

/// A child as the cluster has it.
#[derive(Clone, Debug)]
pub struct AppliedChild<K> {
    /// The live object.
    pub object: Arc<K>,
    /// What was done.
    pub change: Change,
}

/// All children as the cluster has them: only [`Applier::apply`] makes one, so a status is never
/// computed from wishes.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The pods' identity.
    pub service_account: AppliedChild<ServiceAccount>,
    /// The pods' address.
    pub service: AppliedChild<Service>,
    /// The pods.
    pub deployment: AppliedChild<Deployment>,
}

impl Applied {
    /// Kind and change of each child, in the order of application.
    #[must_use]
    pub fn changes(&self) -> [(&'static str, Change); 3] {
        [
            ("ServiceAccount", self.service_account.change),
            ("Service", self.service.change),
            ("Deployment", self.deployment.change),
        ]
    }
}

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
    pub async fn apply(&self, children: &Children, stores: &Stores) -> Result<Applied, ApplyError> {
        Ok(Applied {
            service_account: self
                .ensure(&children.service_account, stores.find(&stores.service_accounts, &children.service_account))
                .await?,
            service: self.ensure(&children.service, stores.find(&stores.services, &children.service)).await?,
            deployment: self
                .ensure(&children.deployment, stores.find(&stores.deployments, &children.deployment))
                .await?,
        })
    }

    /// Forgets the children of a service that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.ledger.forget(namespace, name);
    }

    async fn ensure<K>(&self, desired: &K, live: Option<Arc<K>>) -> Result<AppliedChild<K>, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let child = Child::of(desired);
        let wanted = to_value(desired);
        let known = self.ledger.get(&child.key());
        let asked_before = known.as_ref().is_some_and(|entry| entry.desired == wanted);

        if let Some(live) = &live {
            child.check_owner(live.owner_references(), desired.owner_references())?;
            if asked_before && known.is_some_and(|entry| entry.projection == project(&to_value(&**live), &wanted)) {
                return Ok(AppliedChild { object: live.clone(), change: Change::None });
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
            None if asked_before => Change::Repaired,
            None => Change::Created,
            Some(before) if before.resource_version() == after.resource_version() => Change::None,
            Some(_) if asked_before => Change::Repaired,
            Some(_) => Change::Updated,
        };
        if change != Change::None {
            tracing::info!(kind = child.kind, name = child.name, namespace = child.namespace, ?change, "applied");
        }
        Ok(AppliedChild { object: Arc::new(after), change })
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
    async fn overwrite<K>(&self, api: &Api<K>, desired: &K, refusal: Box<Status>) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        if api.patch(&self.name, &params, &Patch::Merge(desired)).await.is_err() {
            return Err(self.failed(kube::Error::Api(refusal)));
        }
        self.write(api, desired).await
    }

    /// Server-side apply. A field that was changed by hand is taken back; one that another tool
    /// declares is not, since the two would go on for ever.
    async fn write<K>(&self, api: &Api<K>, desired: &K) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
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

/// The conflicts with managers that apply, as opposed to an edit or a patch by hand.
fn contested_fields(status: &Status, managers: &[ManagedFieldsEntry]) -> Vec<String> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes
        .iter()
        .filter(|cause| {
            // The message is: conflict with "NAME" using VERSION
            let manager = cause.message.split('"').nth(1);
            managers
                .iter()
                .any(|entry| entry.manager.as_deref() == manager && entry.operation.as_deref() == Some("Apply"))
        })
        .map(|cause| format!("{} ({})", cause.field, cause.message))
        .collect()
}

/// Kubernetes objects have string keys only, so they always have a JSON form.
fn to_value<K: Serialize>(object: &K) -> serde_json::Value {
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(message: &str) -> Status {
        serde_json::from_value(json!({
            "status": "Failure",
            "code": 409,
            "reason": "Conflict",
            "details": {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": message}]},
        }))
        .unwrap()
    }

    fn manager(name: &str, operation: &str) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(name.to_owned()),
            operation: Some(operation.to_owned()),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn an_edit_by_hand_is_not_contested() {
        let status = status("conflict with \"kubectl-edit\" using apps/v1");
        assert!(contested_fields(&status, &[manager("kubectl-edit", "Update")]).is_empty());
    }

    #[test]
    fn a_tool_that_applies_is_named() {
        let status = status("conflict with \"flux\" using apps/v1");
        let managers = [manager("kubectl-edit", "Update"), manager("flux", "Apply")];
        assert_eq!(contested_fields(&status, &managers), [".spec.replicas (conflict with \"flux\" using apps/v1)"]);
    }

    fn owner(kind: &str, uid: &str) -> OwnerReference {
        OwnerReference {
            kind: kind.to_owned(),
            name: "reviews".to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        }
    }

    #[test]
    fn only_own_objects_are_written() {
        let child = Child { kind: "Service".into(), name: "reviews".into(), namespace: "demo".into() };
        let ours = [owner("SentimentService", "1")];
        assert!(child.check_owner(&ours, &ours).is_ok());
        let leftover = child.check_owner(&[owner("SentimentService", "0")], &ours);
        assert!(matches!(leftover, Err(ApplyError::Leftover { .. })));
        for stranger in [vec![], vec![owner("Deployment", "1x")]] {
            assert!(matches!(child.check_owner(&stranger, &ours), Err(ApplyError::NotOurs { .. })));
        }
    }

    #[test]
    fn a_full_quota_has_a_reason_of_its_own() {
        let refused = |message: &str| ApplyError::Refused {
            kind: "Service".into(),
            name: "reviews".into(),
            status: Box::new(Status { message: message.to_owned(), code: 403, ..Status::default() }),
        };
        assert_eq!(refused("exceeded quota: small").reason(), Some(Reason::QuotaExceeded));
        assert_eq!(refused("admission webhook denied").reason(), Some(Reason::ApplyFailed));
    }
}
