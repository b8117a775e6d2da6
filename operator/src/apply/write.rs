//! The protocol of a write: server-side apply, and what is done where the API server refuses it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, Status},
};
use serde_json::{Value, json};

use super::{ApplyError, handover, plan::Wanted};
use crate::{
    api::MANAGER,
    watches::{Uid, is_stray},
};

/// The version of no object: with it, an object is made where there is none of its name, and refused where there is one.
const OF_NONE: &str = "1";

/// Where a child is written, and what is sent.
pub(super) struct Child<'a> {
    pub(super) api: Api<DynamicObject>,
    pub(super) wanted: &'a Wanted,
}

impl<'a> Child<'a> {
    pub(super) fn new(client: &Client, resource: &ApiResource, wanted: &'a Wanted) -> Self {
        Self { api: Api::namespaced_with(client.clone(), &wanted.namespace, resource), wanted }
    }

    /// Makes it, with so many replicas where the number is given. `None`: something of its name is there already.
    pub(super) async fn create(&self, replicas: Option<i32>) -> Result<Option<DynamicObject>, ApplyError> {
        let mut body = self.wanted.body.clone();
        body["metadata"]["resourceVersion"] = Value::from(OF_NONE);
        if let Some(replicas) = replicas {
            body["spec"]["replicas"] = Value::from(replicas);
        }
        match self.api.patch(&self.wanted.name, &PatchParams::apply(MANAGER), &Patch::Apply(&body)).await {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.code == 409 && !is_terminating(&status) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Writes over the object of this uid: a field that was changed by hand is taken back; one that another tool declares
    /// is not, since the two would go on for ever. An object of the name that somebody has made since isn't touched, and
    /// none is made.
    pub(super) async fn update(&self, uid: Uid) -> Result<DynamicObject, ApplyError> {
        let mut body = self.wanted.body.clone();
        body["metadata"]["uid"] = Value::from(uid.to_string());
        let after = match self.apply(&body, false).await {
            Err(kube::Error::Api(status)) if status.code == 409 => self.take_back(&body, status).await?,
            Err(kube::Error::Api(status)) if status.code == 422 => self.overwrite(&body, status).await?,
            written => written.map_err(|error| self.failed(error))?,
        };
        self.disown(after).await
    }

    async fn apply(&self, body: &Value, force: bool) -> kube::Result<DynamicObject> {
        let params = PatchParams { force, ..PatchParams::apply(MANAGER) };
        self.api.patch(&self.wanted.name, &params, &Patch::Apply(body)).await
    }

    async fn take_back(&self, body: &Value, conflict: Box<Status>) -> Result<DynamicObject, ApplyError> {
        let live = self.api.get_metadata(&self.wanted.name).await.map_err(|error| self.failed(error))?;
        let contested = contested_fields(&conflict, live.managed_fields());
        if !contested.is_empty() {
            return Err(ApplyError::Contested {
                kind: self.wanted.kind.clone(),
                name: self.wanted.name.clone(),
                conflicts: contested.join(", "),
            });
        }
        match self.apply(body, true).await {
            Err(kube::Error::Api(status)) if status.code == 422 => self.overwrite(body, status).await,
            written => written.map_err(|error| self.failed(error)),
        }
    }

    /// Some edits by hand can't be merged with what we apply: another port of the same name, a `valueFrom` beside our
    /// `value`. A merge patch replaces whole lists, and so undoes them; the apply after it takes the fields back. What
    /// can't be written that way either was refused for its own sake, with the answer `refusal`.
    async fn overwrite(&self, body: &Value, refusal: Box<Status>) -> Result<DynamicObject, ApplyError> {
        let live = self.api.get_metadata(&self.wanted.name).await.map_err(|error| self.failed(error))?;
        if live.uid().as_deref() != body.pointer("/metadata/uid").and_then(Value::as_str) {
            // A lost race: what this is now is for the next look to find out.
            return Err(self.failed(kube::Error::Api(Box::new(Status { code: 409, ..*refusal }))));
        }
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch(&self.wanted.name, &params, &Patch::Merge(body)).await {
            Ok(_) => self.apply(body, true).await.map_err(|error| self.failed(error)),
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
                Err(self.failed(kube::Error::Api(refusal)))
            }
            // Whether it can be written that way is still to be seen.
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Leaves one entry of ours among the managers: that of our applies. The one of an overwrite would hold fields that
    /// we no longer set, and be in conflict with us.
    async fn disown(&self, after: DynamicObject) -> Result<DynamicObject, ApplyError> {
        let managers = after.managed_fields();
        if !managers.iter().any(is_stray) {
            return Ok(after);
        }
        let kept: Vec<&ManagedFieldsEntry> = managers.iter().filter(|entry| !is_stray(entry)).collect();
        let patch = json!({"metadata": {"resourceVersion": after.resource_version(), "managedFields": kept}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.api.patch(&self.wanted.name, &params, &Patch::Merge(&patch)).await.map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: kube::Error) -> ApplyError {
        let (kind, name) = (self.wanted.kind.clone(), self.wanted.name.clone());
        match error {
            kube::Error::Api(status) if is_terminating(&status) => {
                ApplyError::Terminating(self.wanted.namespace.clone())
            }
            // 401 is a token that is being renewed, 409 here a lost race, 429 a request to wait.
            kube::Error::Api(status)
                if (400..500).contains(&status.code) && !matches!(status.code, 401 | 404 | 408 | 409 | 429) =>
            {
                ApplyError::Refused { kind, name, status }
            }
            source => ApplyError::Unreachable { kind, name, source: Box::new(source) },
        }
    }
}

/// Whether a request was refused since its namespace is being terminated.
fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Whether a request failed since there is no such kind: the answer is a bare 404, and names no object.
pub(super) fn is_missing_api(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404
        && status.details.as_ref().is_none_or(|details| details.name.is_empty() && details.kind.is_empty()))
}

/// The conflicts with managers that apply, as opposed to an edit or a patch by hand. We are never in conflict with
/// ourselves.
fn contested_fields(status: &Status, managers: &[ManagedFieldsEntry]) -> Vec<String> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes
        .iter()
        .filter(|cause| {
            // The message is: conflict with "NAME" using VERSION
            let manager =
                cause.message.split('"').nth(1).filter(|manager| ![MANAGER, handover::MANAGER].contains(manager));
            managers.iter().any(|entry| {
                manager.is_some() && entry.manager.as_deref() == manager && entry.operation.as_deref() == Some("Apply")
            })
        })
        .map(|cause| format!("{} ({})", cause.field, cause.message))
        .collect()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn nobody_is_in_conflict_with_itself() {
        let status = status(&format!("conflict with \"{MANAGER}\" using apps/v1"));
        let managers = [manager(MANAGER, "Apply"), manager(MANAGER, "Update")];
        assert!(contested_fields(&status, &managers).is_empty());
    }
}
