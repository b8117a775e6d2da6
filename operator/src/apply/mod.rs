//! The one place that writes children: server-side apply, in a fixed order.
//!
//! An autoscaler that is no longer asked for goes first, so that it doesn't set back the number of pods that the spec now
//! gives. Then each kind in the order of [`KINDS`]. The other children that are no longer asked for go last, when nothing
//! uses them any more.
//!
//! A child is written only when the spec asks for something new or when a field that we set has been changed or removed
//! ([`plan`]). Fields of others are never looked at, so there is no tug of war. How it is written is in [`write`].

mod claim;
mod error;
mod fields;
mod handover;
mod plan;
mod write;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::Value;

pub use self::error::ApplyError;
use self::{
    plan::{Plan, Wanted, adopt, plan},
    write::{Child, is_missing_api},
};
pub use crate::children::MissingApi;
use crate::{
    build::Children,
    children::{ChildFacts, ChildKind, Declaration, KINDS},
    facts,
    hash::fnv1a,
    memory::{Answered, Memory},
    rollouts,
    validate::ValidatedService,
    watches::{Kept, Meta, Stores, Uid},
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

/// What is done about the pod template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// It is applied.
    Applied,
    /// The live one stays as it is, and without one there is no Deployment.
    Kept,
}

/// What is asked for, and what is known.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The service.
    pub(crate) service: &'a ValidatedService,
    /// Its children as they should be.
    pub(crate) children: &'a Children,
    /// What is done about its pods' template.
    pub(crate) template: Template,
    /// What the cluster has.
    pub(crate) stores: &'a Stores,
    /// What was done for it before.
    pub(crate) memory: &'a Memory,
}

/// Children as the cluster has them: only [`apply`] makes one, so a status is never computed from wishes.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The pods, unless their Deployment can't be made yet.
    pub deployment: Option<(Uid, Box<facts::Deployment>)>,
    /// Kind and change of each child that something was done to.
    pub changes: Vec<(String, Change)>,
    /// Children whose kind this cluster doesn't have.
    pub missing: Vec<MissingApi>,
}

/// Brings the cluster in line with what is asked for.
pub(crate) async fn apply(client: &Client, asked: Asked<'_>) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let order = KINDS.iter().map(|declaration| (declaration, (declaration.built)(asked.children)));
    let order: Vec<(&Declaration, Vec<Value>)> = order.collect();
    for (declaration, built) in order.iter().filter(|(declaration, _)| declaration.goes_first) {
        prune(client, asked, declaration, built, &mut applied).await?;
    }
    for (declaration, built) in &order {
        for body in built {
            match ensure(client, asked, declaration, body.clone(), &mut applied).await {
                // The watch has not found out yet.
                Err(ApplyError::Unreachable { source, .. })
                    if declaration.optional.is_some() && is_missing_api(&source) =>
                {
                    applied.missing.extend(declaration.optional);
                }
                done => done?,
            }
        }
    }
    for (declaration, built) in order.iter().filter(|(declaration, _)| !declaration.goes_first) {
        prune(client, asked, declaration, built, &mut applied).await?;
    }
    Ok(applied)
}

/// Writes a child, unless the cluster has it as it should be already.
async fn ensure(
    client: &Client,
    asked: Asked<'_>,
    declaration: &Declaration,
    body: Value,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    if declaration.optional.is_some() && asked.stores.installed(declaration.kind).is_missing() {
        applied.missing.extend(declaration.optional);
        return Ok(());
    }
    let resource = (declaration.resource)();
    let is_deployment = declaration.kind == ChildKind::Deployment;
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let live = asked.stores.child(declaration.kind, &asked.service.namespace, name);
    let is_anothers = live.as_ref().is_some_and(|live| !live.meta.is_owned_by(Uid::of(&asked.service.owner.uid)));
    let body = if is_deployment && asked.template == Template::Kept && !is_anothers {
        let Some(live) = &live else { return Ok(()) };
        let Some(body) = with_live_template(client, asked, body, live).await? else {
            applied.stands(live.meta.uid, live.facts.clone());
            return Ok(());
        };
        body
    } else {
        body
    };
    let body = if declaration.kind == ChildKind::PersistentVolumeClaim {
        claim::with_live_size(body, live.as_ref().and_then(|live| live.facts.claim()))
    } else {
        body
    };
    let wanted = Wanted::of(resource.kind.clone(), body);
    let child = Child::new(client, &resource, &wanted);
    let key = (declaration.kind, wanted.name.clone());
    let answered = asked.memory.answered(&key);
    let cache = asked.stores.children(declaration.kind);
    let seen = cache.seen(answered.as_ref().map_or(u64::MAX, |answered| answered.lists));
    let meta = live.as_ref().map(|live| &live.meta);
    let (after, change) = match plan(&wanted, &asked.service.owner, meta, seen, answered.as_ref()) {
        Plan::Refuse(refusal) => return Err(refusal),
        Plan::Keep => {
            let is_shown = answered.as_ref().is_none_or(|answered| answered.version <= seen_of(meta, seen));
            if !is_shown {
                // The watch has yet to show what we wrote: what it has is of an older spec.
                if is_deployment {
                    applied.deployment = asked.memory.deployment();
                }
            } else if let Some(live) = &live {
                asked.memory.note(key, Answered::of(&wanted, &live.meta, cache.lists()));
                applied.stands(live.meta.uid, live.facts.clone());
            }
            return Ok(());
        }
        Plan::Create(change) => {
            if let Some(made) = child.create(at_making(asked, declaration)).await? {
                (made, Some(change))
            } else {
                // The watch sees what bears our label and belongs to a service; this is something else, or quite new.
                let found = child.api.get(&wanted.name).await.map_err(|error| child.failed(error))?;
                let Some(meta) = Meta::of(&found.metadata, &asked.stores.names) else { return Ok(()) };
                adopt(&wanted, &asked.service.owner, &meta, &found.metadata)?;
                let version = found.resource_version();
                if is_deployment {
                    let facts = (declaration.facts)(serde_json::to_value(found).unwrap_or_default());
                    hand_over(&child, asked, &meta, &facts).await?;
                }
                let after = child.update(meta.uid).await?;
                let moved = version != after.resource_version();
                (after, moved.then_some(if change == Change::Created { Change::Updated } else { change }))
            }
        }
        Plan::Update(change) => {
            let Some(live) = &live else { return Ok(()) };
            if is_deployment {
                hand_over(&child, asked, &live.meta, &live.facts).await?;
            }
            let after = child.update(live.meta.uid).await?;
            let moved = live.meta.version != crate::api::version(&after.metadata);
            (after, moved.then_some(change))
        }
    };
    if let Some(change) = change {
        applied.note(&wanted, change);
    }
    let Some(meta) = Meta::of(&after.metadata, &asked.stores.names) else { return Ok(()) };
    asked.memory.note(key, Answered::of(&wanted, &meta, cache.lists()));
    let facts = (declaration.facts)(serde_json::to_value(after).unwrap_or_default());
    if let ChildFacts::Deployment(facts) = &facts {
        asked.memory.note_deployment(meta.uid, facts.clone());
    }
    applied.stands(meta.uid, facts);
    Ok(())
}

/// A Deployment that was deleted comes back with as many pods as its autoscaler held.
fn at_making(asked: Asked<'_>, declaration: &Declaration) -> Option<i32> {
    if declaration.kind != ChildKind::Deployment {
        return None;
    }
    let autoscaler =
        asked.stores.child(ChildKind::HorizontalPodAutoscaler, &asked.service.namespace, &asked.service.name);
    let autoscaler = autoscaler.as_ref().and_then(|kept| kept.facts.autoscaler());
    handover::at_making(asked.service, autoscaler, asked.memory.replicas())
}

/// Holds the number of pods of a Deployment that is to be written, where that is needed.
async fn hand_over(child: &Child<'_>, asked: Asked<'_>, live: &Meta, facts: &ChildFacts) -> Result<(), ApplyError> {
    let replicas = facts.deployment().and_then(|facts| facts.replicas);
    match handover::before_writing(asked.service, live, replicas) {
        Some(replicas) => handover::hold(child, live.uid, replicas).await,
        None => Ok(()),
    }
}

/// The Deployment with the template that it has. `None`: all else is as it should be.
///
/// Where nobody has changed the spec since the live template was made, what differs are our own notes and labels; they
/// come along with the new template.
async fn with_live_template(
    client: &Client,
    asked: Asked<'_>,
    mut body: Value,
    live: &Kept<ChildFacts>,
) -> Result<Option<Value>, ApplyError> {
    let ChildFacts::Deployment(facts) = &live.facts else { return Ok(None) };
    if let Some(spec) = body.pointer_mut("/spec").and_then(Value::as_object_mut) {
        spec.remove("template");
    }
    let generation = asked.service.generation.unwrap_or_default();
    let kept = (generation, fnv1a(body.to_string().as_bytes()));
    let is_asked_for_before = facts.template_generation.as_deref() == Some(&generation.to_string())
        || asked.memory.kept_template() == Some(kept);
    if is_asked_for_before && live.meta.fields.as_deref().is_some_and(|ours| fields::cover(ours, &body)) {
        return Ok(None);
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), &live.meta.namespace);
    let found = api.get(&live.meta.name).await.map_err(|source| ApplyError::Unreachable {
        kind: "Deployment".to_owned(),
        name: live.meta.name.to_string(),
        source: Box::new(source),
    })?;
    let mut desired = asked.children.deployment.clone();
    rollouts::keep(&mut desired, &found);
    asked.memory.note_kept_template(kept);
    Ok(Some(serde_json::to_value(desired).unwrap_or_default()))
}

/// Up to which version the watch has shown an object, or that there is none.
fn seen_of(live: Option<&Meta>, seen: u64) -> u64 {
    live.map_or(seen, |live| live.version)
}

/// Deletes the children of this kind that an earlier spec asked for, where this one doesn't. Without one, it asks
/// nothing.
async fn prune(
    client: &Client,
    asked: Asked<'_>,
    declaration: &Declaration,
    built: &[Value],
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let is_wanted = |name: &str| built.iter().any(|body| body.pointer("/metadata/name") == Some(&Value::from(name)));
    let owned: Vec<Arc<Kept<ChildFacts>>> =
        asked.stores.children(declaration.kind).owned_by(Uid::of(&asked.service.owner.uid));
    for live in owned.iter().filter(|live| !is_wanted(&live.meta.name) && !live.meta.is_deleting) {
        let resource = (declaration.resource)();
        let wanted = Wanted::of(
            resource.kind.clone(),
            serde_json::json!({"metadata": {"name": &*live.meta.name, "namespace": &*live.meta.namespace}}),
        );
        let child = Child::new(client, &resource, &wanted);
        asked.memory.forget_child(&(declaration.kind, wanted.name.clone()));
        // Not one of the same name that somebody has made since.
        let preconditions = Preconditions { uid: Some(live.meta.uid.to_string()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match child.api.delete(&wanted.name, &params).await {
            Ok(_) => applied.note(&wanted, Change::Pruned),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(child.failed(error)),
        }
    }
    Ok(())
}

impl Answered {
    fn of(wanted: &Wanted, meta: &Meta, lists: u64) -> Self {
        Self { hash: wanted.hash, fields: meta.fields.clone(), version: meta.version, lists }
    }
}

impl Applied {
    fn note(&mut self, wanted: &Wanted, change: Change) {
        let Wanted { kind, name, namespace, .. } = wanted;
        tracing::info!(kind, name, namespace, ?change, "applied");
        self.changes.push((kind.clone(), change));
    }

    fn stands(&mut self, uid: Uid, facts: ChildFacts) {
        if let ChildFacts::Deployment(facts) = facts {
            self.deployment = Some((uid, facts));
        }
    }
}
