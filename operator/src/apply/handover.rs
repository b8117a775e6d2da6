//! Hands the number of pods over to an autoscaler, without a moment in which it is anybody's guess.
//!
//! A field that its only manager stops applying goes back to its default: a Deployment whose
//! `replicas` we merely leave out drops to one pod. So a second manager takes the field with its
//! present value first. The autoscaler takes it over when it scales.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Resource,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{ApplyError, fields, write::Child};
use crate::{
    facts,
    validate::{Scale, ValidatedService},
    watches::Meta,
};

/// The manager of `replicas` from our letting go to the autoscaler's first change.
pub(super) const MANAGER: &str = "kubesentiment-operator-scale";

/// The number that has to be held before a Deployment is written: where somebody else decides, and the field is still
/// among those that we apply.
pub(super) fn before_writing(service: &ValidatedService, live: Option<(&Meta, Option<i32>)>) -> Option<i32> {
    let (meta, running) = live?;
    // An autoscaler leaves a Deployment of no pods alone, so what was suspended comes back with one.
    let least = service.scale.least().max(i32::from(service.scale == Scale::External));
    let is_ours = meta.fields.as_deref().is_some_and(|ours| fields::have(ours, &["spec", "replicas"]));
    (service.replicas().is_none() && is_ours).then(|| running.unwrap_or(0).max(least))
}

/// The number that a Deployment that was just made has to have, given what its autoscaler last chose and what ran before
/// it was deleted, if anybody did: it comes back as it was.
pub(super) fn after_making(
    service: &ValidatedService,
    autoscaler: Option<&facts::Autoscaler>,
    before: Option<i32>,
    made: Option<i32>,
) -> Option<i32> {
    let least = service.scale.least();
    let chosen = autoscaler.and_then(|autoscaler| autoscaler.desired);
    // Where nobody has chosen yet, the fewest; and where that is none, what the API server makes of it: an autoscaler of
    // somebody else may take 0 for a wish to stay there.
    let wanted = chosen.or(before).map(|chosen| chosen.max(least)).or((least > 0).then_some(least))?;
    (service.replicas().is_none() && made != Some(wanted)).then_some(wanted)
}

/// Sets `replicas` as the manager that holds it for the autoscaler.
pub(super) async fn hold(child: &Child<'_>, replicas: i32) -> Result<DynamicObject, ApplyError> {
    let patch = json!({
        "apiVersion": Deployment::api_version(&()),
        "kind": Deployment::kind(&()),
        "metadata": {"name": child.wanted.name},
        "spec": {"replicas": replicas},
    });
    let params = PatchParams::apply(MANAGER).force();
    child.api.patch(&child.wanted.name, &params, &Patch::Apply(&patch)).await.map_err(|error| child.failed(error))
}
