//! Hands the number of pods over to an autoscaler, without a moment in which it is anybody's guess.
//!
//! A field that its only manager stops applying goes back to its default: a Deployment whose
//! `replicas` we merely leave out drops to one pod. So a second manager takes the field with its
//! present value first. The autoscaler takes it over when it scales.

use std::sync::Arc;

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Applier, ApplyError, Change, Child};
use crate::{
    api,
    validate::{Scale, ValidatedService},
    watches::Stores,
};

/// The manager of `replicas` from our letting go to the autoscaler's first change.
pub(super) const MANAGER: &str = "kubesentiment-operator-scale";

impl Applier {
    /// Applies the Deployment. Where an autoscaler decides, no running pod is lost when it takes
    /// over, and a Deployment starts with the fewest pods that it may have.
    pub(super) async fn ensure_deployment(
        &self,
        service: &ValidatedService,
        desired: &Deployment,
        stores: &Stores,
        done: &mut Vec<(String, Change)>,
    ) -> Result<Arc<Deployment>, ApplyError> {
        let least = match &service.scale {
            Scale::Auto(autoscaler) if !service.suspended => autoscaler.min,
            // An autoscaler leaves a Deployment of no pods alone, so what was suspended comes back with one.
            Scale::External if !service.suspended => 1,
            _ => return self.ensure(desired, &stores.deployments, done).await,
        };
        let child = Child::of(desired);
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &child.namespace);
        let has_let_go =
            self.ledger.get(&child.key()).is_some_and(|entry| entry.desired.pointer("/spec/replicas").is_none());
        if !has_let_go {
            let live = api.get_opt(&child.name).await.map_err(|error| child.failed(error))?;
            if let Some(live) = live.filter(|live| applies_replicas(live.managed_fields())) {
                child.check_owner(live.owner_references(), desired.owner_references())?;
                let running = live.spec.and_then(|spec| spec.replicas).unwrap_or(0);
                hold(&api, &child, running.max(least)).await?;
            }
        }
        let before = done.len();
        let deployment = self.ensure(desired, &stores.deployments, done).await?;
        let is_new = done.get(before).is_some_and(|(_, change)| *change == Change::Created);
        let running = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        if is_new && running < least { hold(&api, &child, least).await.map(Arc::new) } else { Ok(deployment) }
    }
}

/// Sets `replicas` as the manager that holds it for the autoscaler.
async fn hold(api: &Api<Deployment>, child: &Child, replicas: i32) -> Result<Deployment, ApplyError> {
    let patch = json!({
        "apiVersion": Deployment::api_version(&()),
        "kind": Deployment::kind(&()),
        "metadata": {"name": child.name},
        "spec": {"replicas": replicas},
    });
    api.patch(&child.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch))
        .await
        .map_err(|error| child.failed(error))
}

/// Whether `replicas` is among the fields that we apply.
fn applies_replicas(managers: &[ManagedFieldsEntry]) -> bool {
    managers
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(api::MANAGER) && entry.operation.as_deref() == Some("Apply"))
        .filter_map(|entry| entry.fields_v1.as_ref())
        .any(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
