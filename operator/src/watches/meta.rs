//! What is kept of an object's metadata.

use std::{fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use uuid::Uuid;

use super::names::Names;
use crate::{
    api::{APPLIED, MANAGER, version},
    hash::fnv1a,
};

/// A uid, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uid(u128);

impl Uid {
    /// The number of a uid. All that Kubernetes makes are UUIDs.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Uuid::parse_str(text).map_or_else(|_| u128::from(fnv1a(text.as_bytes())), |uuid| uuid.as_u128()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

/// The controller of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name, in the same namespace.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Uid,
}

/// What is kept of an object's metadata: a few words for each of many objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Uid,
    /// Its `resourceVersion`, as a number.
    pub version: u64,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Hash of what we applied last, by its annotation.
    pub applied: Option<u64>,
    /// The fields that we apply and that are still as we applied them, as the API server lists them.
    pub fields: Option<Arc<str>>,
    /// Whether there is an entry of ours that isn't of an apply.
    pub has_strays: bool,
}

impl Meta {
    /// Of an object that has a name and a namespace.
    #[must_use]
    pub fn of(metadata: &ObjectMeta, names: &Names) -> Option<Self> {
        let annotations = metadata.annotations.as_ref();
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Some(Self {
            namespace: names.get(metadata.namespace.as_deref()?),
            name: names.get(metadata.name.as_deref()?),
            uid: Uid::of(metadata.uid.as_deref().unwrap_or_default()),
            version: version(metadata),
            owner: owner.map(|owner| Owner {
                kind: names.get(&owner.kind),
                name: names.get(&owner.name),
                uid: Uid::of(&owner.uid),
            }),
            is_deleting: metadata.deletion_timestamp.is_some(),
            applied: annotations
                .and_then(|annotations| annotations.get(APPLIED))
                .and_then(|hash| u64::from_str_radix(hash, 16).ok()),
            fields: our_fields(metadata.managed_fields.as_deref().unwrap_or_default(), owner, names),
            has_strays: metadata.managed_fields.iter().flatten().any(is_stray),
        })
    }

    /// Whether this service is its controller.
    #[must_use]
    pub fn is_owned_by(&self, uid: Uid) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.uid == uid)
    }
}

/// Whether this is an entry of a write of ours that was no apply.
pub(crate) fn is_stray(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Ten times what our largest child has: somebody else has written more in our name, and it isn't worth the memory.
const MOST_FIELDS: usize = 64 << 10;

/// The fields of the entry of our applies. The owner's uid is cut out: it alone differs from service to service.
fn our_fields(entries: &[ManagedFieldsEntry], owner: Option<&OwnerReference>, names: &Names) -> Option<Arc<str>> {
    let ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    let fields = entries.iter().find(ours)?.fields_v1.as_ref()?.0.to_string();
    if fields.len() > MOST_FIELDS {
        return None;
    }
    Some(match owner {
        Some(owner) => names.get(&fields.replace(&owner.uid, "")),
        None => names.get(&fields),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta(uid: &str) -> Meta {
        let metadata = serde_json::from_value(json!({
            "name": "reviews", "namespace": "demo", "uid": "00000000-0000-0000-0000-000000000002", "resourceVersion": "9",
            "annotations": {APPLIED: "00000000000000ff"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "1"},
                {"apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "name": "reviews", "uid": uid,
                 "controller": true},
            ],
            "managedFields": [
                {"manager": MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {}}},
                {"manager": MANAGER, "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": MANAGER, "operation": "Apply", "fieldsV1":
                    {"f:metadata": {"f:ownerReferences": {format!("k:{{\"uid\":\"{uid}\"}}"): {}}}}},
            ],
        }));
        Meta::of(&metadata.unwrap(), &Names::default()).unwrap()
    }

    #[test]
    fn the_controller_and_our_own_fields_are_kept() {
        let meta = meta("0f8fad5b-d9cb-469f-a165-70867728950e");
        let owner = meta.owner.as_ref().unwrap();
        assert_eq!((&*owner.kind, &*owner.name), ("SentimentService", "reviews"));
        assert!(meta.is_owned_by(Uid::of("0f8fad5b-d9cb-469f-a165-70867728950e")));
        assert_eq!((meta.version, meta.applied), (9, Some(255)));
        assert!(meta.fields.unwrap().contains("ownerReferences"));
        assert!(meta.has_strays);
    }

    #[test]
    fn the_fields_of_two_services_are_the_same_text() {
        let of = |uid| meta(uid).fields.unwrap();
        assert_eq!(of("0f8fad5b-d9cb-469f-a165-70867728950e"), of("7c9e6679-7425-40de-944b-e07fc1f90ae7"));
    }
}
