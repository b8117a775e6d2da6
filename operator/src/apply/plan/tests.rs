use std::sync::Arc;

use super::*;

const OURS: &str = "00000000-0000-0000-0000-000000000001";

fn service() -> OwnerReference {
    OwnerReference {
        kind: "SentimentService".to_owned(),
        name: "reviews".to_owned(),
        uid: OURS.to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    }
}

fn wanted(replicas: i32) -> Wanted {
    Wanted::of(
        "Deployment".to_owned(),
        json!({"metadata": {"name": "reviews", "namespace": "demo"}, "spec": {"replicas": replicas}}),
    )
}

fn metadata(owner: Option<(&str, &str)>) -> ObjectMeta {
    let owners: Vec<Value> = owner
        .map(|(kind, uid)| json!({"apiVersion": "v1", "kind": kind, "name": "reviews", "uid": uid, "controller": true}))
        .into_iter()
        .collect();
    serde_json::from_value(json!({
        "name": "reviews", "namespace": "demo", "uid": "00000000-0000-0000-0000-00000000000a", "resourceVersion": "10",
        "ownerReferences": owners,
    }))
    .unwrap()
}

/// What the watch has of the Deployment after this was applied.
fn live(of: &Wanted) -> Meta {
    let meta = Meta::of(&metadata(Some(("SentimentService", OURS))), &crate::watches::Names::default()).unwrap();
    let annotations = json!({"f:annotations": {format!("f:{APPLIED}"): {}}});
    let fields = json!({"f:metadata": annotations, "f:spec": {"f:replicas": {}}}).to_string();
    Meta { applied: Some(of.hash), fields: Some(fields.into()), ..meta }
}

fn answered(of: &Wanted, version: u64) -> Answered {
    Answered { hash: of.hash, fields: live(of).fields, version, lists: 0 }
}

fn decide(wanted: &Wanted, live: Option<&Meta>, seen: u64, answered: Option<&Answered>) -> String {
    match plan(wanted, &service(), live, seen, answered) {
        Plan::Keep => "keep".to_owned(),
        Plan::Create(change) => format!("create: {change:?}"),
        Plan::Update(change) => format!("update: {change:?}"),
        Plan::Refuse(refusal) => format!("refuse: {refusal}"),
    }
}

#[test]
fn a_child_that_holds_what_was_applied_is_left_alone_also_by_an_operator_that_has_just_started() {
    let wanted = wanted(2);
    assert_eq!(decide(&wanted, Some(&live(&wanted)), 10, None), "keep");
    assert_eq!(decide(&wanted, Some(&live(&wanted)), 10, Some(&answered(&wanted, 10))), "keep");
}

#[test]
fn what_others_add_is_never_looked_at() {
    let wanted = wanted(2);
    let touched = Meta { version: 20, ..live(&wanted) };
    assert_eq!(decide(&wanted, Some(&touched), 20, Some(&answered(&wanted, 10))), "keep");
}

#[test]
fn a_field_that_somebody_took_is_put_back() {
    let wanted = wanted(2);
    let edited = Meta { version: 20, fields: Some(json!({"f:spec": {}}).to_string().into()), ..live(&wanted) };
    for known in [None, Some(answered(&wanted, 10))] {
        assert_eq!(decide(&wanted, Some(&edited), 20, known.as_ref()), "update: Repaired");
    }
    let no_longer_ours = Meta { version: 20, fields: None, ..live(&wanted) };
    assert_eq!(decide(&wanted, Some(&no_longer_ours), 20, None), "update: Repaired");
    let without_note = Meta { version: 20, applied: None, ..live(&wanted) };
    assert_eq!(decide(&wanted, Some(&without_note), 20, Some(&answered(&wanted, 10))), "update: Repaired");
}

#[test]
fn a_field_that_a_webhook_takes_each_time_is_no_tug_of_war() {
    let wanted = wanted(2);
    let fields: Arc<str> = json!({"f:spec": {}}).to_string().into();
    let after_webhook = Meta { fields: Some(fields.clone()), ..live(&wanted) };
    let answer = Answered { fields: Some(fields), ..answered(&wanted, 10) };
    assert_eq!(decide(&wanted, Some(&after_webhook), 10, Some(&answer)), "keep");
}

#[test]
fn what_a_repair_that_was_cut_short_has_left_is_tidied_up_once() {
    let wanted = wanted(2);
    let strewn = Meta { has_strays: true, ..live(&wanted) };
    assert_eq!(decide(&wanted, Some(&strewn), 10, None), "update: Updated");
    assert_eq!(decide(&wanted, Some(&strewn), 10, Some(&answered(&wanted, 9))), "update: Updated");
    assert_eq!(decide(&wanted, Some(&strewn), 10, Some(&answered(&wanted, 10))), "keep", "it can't be helped");
}

#[test]
fn a_new_spec_is_written() {
    assert_eq!(decide(&wanted(3), Some(&live(&wanted(2))), 10, Some(&answered(&wanted(2), 10))), "update: Updated");
}

#[test]
fn a_look_before_the_watch_has_shown_our_write_does_nothing() {
    let (before, wanted) = (wanted(2), wanted(3));
    assert_eq!(decide(&wanted, Some(&live(&before)), 10, Some(&answered(&wanted, 11))), "keep");
    assert_eq!(decide(&wanted, None, 10, Some(&answered(&wanted, 11))), "keep", "it was just made");
    assert_eq!(decide(&wanted, None, 12, Some(&answered(&wanted, 11))), "create: Repaired", "it is gone again");
    assert_eq!(decide(&before, None, 10, Some(&answered(&wanted, 11))), "create: Updated", "a new spec is no repair");
}

#[test]
fn what_is_missing_is_made() {
    assert_eq!(decide(&wanted(2), None, 10, None), "create: Created");
    assert_eq!(decide(&wanted(2), None, 12, Some(&answered(&wanted(3), 11))), "create: Repaired");
}

#[test]
fn what_is_being_deleted_is_waited_for() {
    let going = Meta { is_deleting: true, ..live(&wanted(2)) };
    assert_eq!(decide(&wanted(3), Some(&going), 10, None), "keep");
}

#[test]
fn only_own_objects_are_written() {
    let names = crate::watches::Names::default();
    let of = |owner| Meta::of(&metadata(owner), &names).unwrap();
    let earlier = of(Some(("SentimentService", "00000000-0000-0000-0000-000000000002")));
    assert!(decide(&wanted(2), Some(&earlier), 10, None).starts_with("refuse: waiting for Deployment reviews"));
    for stranger in [None, Some(("Deployment", OURS.trim_end_matches('1')))] {
        let refusal = decide(&wanted(2), Some(&of(stranger)), 10, None);
        assert!(refusal.starts_with("refuse: Deployment reviews exists already"), "{refusal}");
    }
}

#[test]
fn what_a_backup_has_restored_without_its_owner_is_taken_back_and_nothing_else() {
    let names = crate::watches::Names::default();
    let labels = json!({"app.kubernetes.io/managed-by": MANAGER, "app.kubernetes.io/instance": "reviews"});
    let adopts = |owner, labels: &Value, annotations: Value| {
        let mut metadata = metadata(owner);
        metadata.labels = serde_json::from_value(labels.clone()).unwrap();
        metadata.annotations = serde_json::from_value(annotations).unwrap();
        adopt(&wanted(2), &service(), &Meta::of(&metadata, &names).unwrap(), &metadata).is_ok()
    };
    let applied = json!({APPLIED: "00000000000000ff"});
    assert!(adopts(None, &labels, applied.clone()));
    assert!(!adopts(None, &labels, json!({})), "labels alone prove nothing");
    assert!(!adopts(None, &json!({}), applied.clone()));
    assert!(!adopts(Some(("Deployment", "x")), &labels, applied.clone()), "it belongs to somebody");
    assert!(adopts(Some(("SentimentService", OURS)), &json!({}), json!({})), "it is ours, and the watch is late");
}

#[test]
fn the_hash_is_of_what_is_asked_for_and_travels_with_it() {
    let two = wanted(2);
    assert_eq!(two.body["metadata"]["annotations"][APPLIED], format!("{:016x}", two.hash));
    assert_eq!(two.hash, wanted(2).hash);
    assert_ne!(two.hash, wanted(3).hash);
}
