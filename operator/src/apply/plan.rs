//! What to do about a child: pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::{ApplyError, Change, fields};
use crate::{
    api::{APPLIED, MANAGER},
    build::labels,
    hash::fnv1a,
    memory::Answered,
    watches::{Meta, Uid},
};

/// A child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// Its kind, for messages.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// What is sent, with the hash of the rest in an annotation.
    pub(super) body: Value,
    /// That hash.
    pub(super) hash: u64,
}

impl Wanted {
    pub(super) fn of(kind: String, mut body: Value) -> Self {
        let text =
            |pointer: &str, body: &Value| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let hash = fnv1a(body.to_string().as_bytes());
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations[APPLIED] = Value::from(format!("{hash:016x}"));
        }
        Self { kind, name: text("/metadata/name", &body), namespace: text("/metadata/namespace", &body), body, hash }
    }
}

/// What to do about a child.
#[derive(Debug)]
pub(super) enum Plan {
    /// It is as it should be, as far as is known.
    Keep,
    /// Make it, if nothing of that name is there. The change is what that is then.
    Create(Change),
    /// Write it. The change is what that is then, if anything moves.
    Update(Change),
    /// Leave it alone, and say why.
    Refuse(ApplyError),
}

/// Decides on a child, given what the watch has of it (up to the version `seen`) and what was answered last.
pub(super) fn plan(
    wanted: &Wanted,
    service: &OwnerReference,
    live: Option<&Meta>,
    seen: u64,
    answered: Option<&Answered>,
) -> Plan {
    let same = answered.filter(|answered| answered.hash == wanted.hash);
    let Some(live) = live else {
        return match (same, answered) {
            // The watch has yet to show what we made.
            (Some(same), _) if same.version > seen => Plan::Keep,
            (_, Some(answered)) if answered.version > seen => Plan::Create(Change::Updated),
            (_, Some(_)) => Plan::Create(Change::Repaired),
            (_, None) => Plan::Create(Change::Created),
        };
    };
    if let Err(refusal) = check_owner(wanted, live, service) {
        return Plan::Refuse(refusal);
    }
    // What is being deleted is told by its watch when it is gone, and made anew.
    if live.is_deleting || same.is_some_and(|same| same.version > live.version) {
        return Plan::Keep;
    }
    if live.applied == Some(wanted.hash) {
        let is_intact = same.is_some_and(|same| same.fields == live.fields)
            || live.fields.as_deref().is_some_and(|ours| fields::cover(ours, &wanted.body));
        // An entry of ours beside that of our applies is what a repair that was cut short leaves.
        let is_tidy = !live.has_strays || same.is_some_and(|same| same.version == live.version);
        return match (is_intact, is_tidy) {
            (true, true) => Plan::Keep,
            (true, false) => Plan::Update(Change::Updated),
            (false, _) => Plan::Update(Change::Repaired),
        };
    }
    Plan::Update(if same.is_some() { Change::Repaired } else { Change::Updated })
}

/// Taking over an object that somebody else made would change what runs without being asked.
fn check_owner(wanted: &Wanted, live: &Meta, service: &OwnerReference) -> Result<(), ApplyError> {
    let (kind, name) = (wanted.kind.clone(), wanted.name.clone());
    match &live.owner {
        Some(owner) if owner.uid == Uid::of(&service.uid) => Ok(()),
        Some(owner) if *owner.kind == *service.kind && *owner.name == *service.name => {
            Err(ApplyError::Leftover { kind, name })
        }
        _ => Err(ApplyError::NotOurs { kind, name }),
    }
}

/// Decides on an object that turned out to be there already. One that belongs to nobody and bears our labels and our
/// manager's marks is our own, as a backup that was restored without its owner leaves it.
pub(super) fn adopt(
    wanted: &Wanted,
    service: &OwnerReference,
    found: &Meta,
    metadata: &ObjectMeta,
) -> Result<(), ApplyError> {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let is_ours = label(labels::MANAGED_BY) == Some(MANAGER) && label(labels::INSTANCE) == Some(&service.name);
    let applied = metadata.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref() == Some(MANAGER));
    if found.owner.is_none() && is_ours && (applied || found.applied.is_some()) {
        return Ok(());
    }
    check_owner(wanted, found, service)
}

#[cfg(test)]
mod tests;
