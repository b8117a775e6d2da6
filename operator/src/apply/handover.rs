//! Hands the number of pods over to an autoscaler, without a moment in which it is anybody's guess.
//!
//! A field that its only manager stops applying goes back to its default: a Deployment whose
//! `replicas` we merely leave out drops to one pod. So a second manager takes the field with its
//! present value first. The autoscaler takes it over when it scales.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{ApplyError, fields, write::Child};
use crate::{
    facts,
    validate::{Scale, ValidatedService},
    watches::{Meta, Uid},
};

/// The manager of `replicas` from our letting go to the autoscaler's first change.
pub(super) const MANAGER: &str = "kubesentiment-operator-scale";

/// The number that has to be held before a Deployment is written: where somebody else decides, and the field is still
/// among those that we apply.
pub(super) fn before_writing(service: &ValidatedService, live: &Meta, running: Option<i32>) -> Option<i32> {
    // An autoscaler leaves a Deployment of no pods alone, so what was suspended comes back with one.
    let least = service.scale.least().max(i32::from(service.scale == Scale::External));
    let is_ours = live.fields.as_deref().is_some_and(|ours| fields::have(ours, &["spec", "replicas"]));
    (service.replicas().is_none() && is_ours).then(|| running.unwrap_or(0).max(least))
}

/// The number that a Deployment is made with where somebody else decides, given what its autoscaler last chose and what
/// ran before it was deleted, if anybody did: it comes back as it was. It is ours until the first that scales takes it, or
/// until the Deployment is written again. A request of its own could fail, and the number would be lost.
pub(super) fn at_making(
    service: &ValidatedService,
    autoscaler: Option<&facts::Autoscaler>,
    before: Option<i32>,
) -> Option<i32> {
    let least = service.scale.least();
    let chosen = autoscaler.and_then(|autoscaler| autoscaler.desired);
    // Where nobody has chosen yet, the fewest; and where that is none, what the API server makes of it: an autoscaler of
    // somebody else may take 0 for a wish to stay there.
    let wanted = chosen.or(before).map(|chosen| chosen.max(least)).or((least > 0).then_some(least))?;
    service.replicas().is_none().then_some(wanted)
}

/// Sets `replicas` of the Deployment of this uid, as the manager that holds it for the autoscaler.
pub(super) async fn hold(child: &Child<'_>, uid: Uid, replicas: i32) -> Result<(), ApplyError> {
    let patch = json!({
        "apiVersion": Deployment::api_version(&()),
        "kind": Deployment::kind(&()),
        "metadata": {"name": child.wanted.name, "uid": uid.to_string()},
        "spec": {"replicas": replicas},
    });
    let params = PatchParams::apply(MANAGER).force();
    let held = child.api.patch(&child.wanted.name, &params, &Patch::Apply(&patch)).await;
    held.map(drop).map_err(|error| child.failed(error))
}
