use serde_json::json;

use super::*;
use crate::api::Reason;

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
