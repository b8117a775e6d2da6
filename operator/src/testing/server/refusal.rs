//! What the server answers when it doesn't do what it is asked.

use serde_json::{Value, json};

/// A `Status` of failure.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    status: Value,
}

impl Refusal {
    #[expect(clippy::needless_pass_by_value, reason = "a refusal reads best with its details in place")]
    fn new(code: u16, reason: &str, message: &str, details: Value) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message, "details": details,
        });
        Self { code, status }
    }

    pub(super) fn not_found(resource: &str, name: &str) -> Self {
        let message = format!("{resource} {name:?} not found");
        Self::new(404, "NotFound", &message, json!({"name": name, "kind": resource}))
    }

    /// There is no such kind: the answer names no object.
    pub(super) fn no_such_api() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", json!({}))
    }

    pub(super) fn exists(resource: &str, name: &str) -> Self {
        let message = format!("{resource} {name:?} already exists");
        Self::new(409, "AlreadyExists", &message, json!({"name": name, "kind": resource}))
    }

    pub(super) fn conflict(resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::new(409, "Conflict", &message, json!({"name": name, "kind": resource}))
    }

    /// Each conflict is its message and its field.
    pub(super) fn apply_conflict(conflicts: Vec<(String, String)>) -> Self {
        let message = format!("Apply failed with {} conflicts: {}", conflicts.len(), conflicts[0].0);
        let causes: Vec<Value> = conflicts
            .into_iter()
            .map(|(message, field)| json!({"reason": "FieldManagerConflict", "message": message, "field": field}))
            .collect();
        Self::new(409, "Conflict", &message, json!({"causes": causes}))
    }

    pub(super) fn terminating(namespace: &str) -> Self {
        let message = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = json!({"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"});
        Self::new(403, "Forbidden", &message, json!({"causes": [cause]}))
    }

    pub(super) fn invalid(object: &Value, why: &str) -> Self {
        let (kind, name) = (object["kind"].as_str().unwrap_or_default(), object.pointer("/metadata/name"));
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let message = format!("{kind} {name:?} is invalid: {why}");
        let causes = json!([{"reason": "FieldValueInvalid", "message": why}]);
        Self::new(422, "Invalid", &message, json!({"name": name, "kind": kind, "causes": causes}))
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message, json!({}))
    }

    pub(super) fn expired() -> Self {
        Self::new(410, "Expired", "too old resource version", json!({}))
    }

    pub(super) fn into_status(self) -> Value {
        self.status
    }
}
