//! Counts, and how far a rollout is.

use super::*;
use crate::facts::Eviction;

fn verdict(spec: Value, status: Value) -> (Reason, String) {
    case(spec, status).verdict()
}

#[test]
fn all_replicas_of_the_current_spec_serve() {
    assert_eq!(verdict(json!({}), counts(2, 2, 2)), (Reason::Serving, "2 of 2 replicas serve".into()));
}

#[test]
fn an_old_pod_that_remains_is_a_rollout() {
    let (reason, message) = verdict(json!({}), counts(3, 2, 3));
    assert_eq!(reason, Reason::RollingOut);
    assert_eq!(message, "2 of 2 replicas are of the current spec, 3 serve, 1 of an older spec remain");
}

#[test]
fn counts_of_an_older_generation_prove_nothing() {
    let mut unseen = case(json!({}), counts(2, 2, 2));
    unseen.generation = 2;
    assert_eq!(unseen.verdict().0, Reason::RollingOut);
    let failed = pod(json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}));
    let (reason, message) = unseen.pods([failed]).verdict();
    assert_eq!(reason, Reason::RollingOut, "a pod of the revision before has no say");
    assert_eq!(message, "the Deployment's controller has yet to take up the current spec");
}

#[test]
fn suspended_says_what_is_left() {
    let suspend = json!({"suspend": true});
    let none = (Reason::Suspended, "spec.suspend is true: no pod runs".into());
    assert_eq!(verdict(suspend.clone(), counts(0, 0, 0)), none);
    assert_eq!(verdict(suspend, counts(2, 0, 0)).1, "spec.suspend is true: 2 pods are stopping");
    assert_eq!(verdict(json!({"replicas": 0}), counts(0, 0, 0)).1, "spec.replicas is 0: no pod runs");
}

#[test]
fn scaled_to_zero_by_somebody_else_is_a_state() {
    let mut idle = case(json!({"autoscaling": {"maxReplicas": 9}}), counts(0, 0, 0));
    idle.replicas = Some(0);
    assert_eq!(idle.verdict(), (Reason::Suspended, "its autoscaler wants no pod at present: no pod runs".into()));
    idle.replicas = Some(3);
    assert_eq!(idle.verdict().0, Reason::RollingOut);
    let mut fixed = case(json!({"replicas": 2}), counts(0, 0, 0));
    fixed.replicas = Some(0);
    assert_eq!(fixed.verdict().0, Reason::RollingOut, "what the spec says is about to be put back");
}

#[test]
fn more_pods_than_the_fewest_are_the_autoscalers_affair() {
    let spec = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}});
    let mut grown = case(spec.clone(), counts(5, 5, 3));
    grown.replicas = Some(5);
    assert_eq!(grown.verdict(), (Reason::Serving, "3 of 5 replicas serve".into()));
    assert_eq!(verdict(spec, counts(5, 5, 1)).0, Reason::RollingOut);
}

#[test]
fn a_deployment_that_cannot_make_pods_says_why() {
    for (message, reason) in [
        ("pods \"r\" is forbidden: exceeded quota: small", Reason::QuotaExceeded),
        ("pods \"r\" is forbidden: violates PodSecurity", Reason::ApplyFailed),
        (
            "pods \"r\" is forbidden: error looking up service account demo/own: serviceaccount \"own\" not found",
            Reason::DependencyMissing,
        ),
        ("pods \"r\" is forbidden: no PriorityClass with name own was found", Reason::DependencyMissing),
        ("pods \"r\" is forbidden: pod rejected: RuntimeClass \"own\" not found", Reason::DependencyMissing),
    ] {
        let mut status = counts(0, 0, 0);
        status["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "message": message}]);
        assert_eq!(verdict(json!({}), status), (reason, message.to_owned()));
    }
}

fn unschedulable() -> Value {
    json!({"status": {"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }]}})
}

#[test]
fn no_node_takes_the_pod() {
    let expected = (Reason::Unschedulable, "0/1 nodes are available: 1 Insufficient cpu.".into());
    assert_eq!(case(json!({}), counts(2, 2, 0)).pods([unschedulable()]).verdict(), expected);
}

#[test]
fn a_rollout_that_can_not_begin_says_what_it_waits_for_and_the_way_out() {
    let way_out = "spec.rollout.maxSurge to 0 and spec.rollout.maxUnavailable to 1";
    let mut no_node = case(json!({}), counts(3, 1, 2)).pods([unschedulable()]);
    let (reason, message) = no_node.verdict();
    assert_eq!(reason, Reason::Unschedulable);
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu.; the rollout waits"), "{message}");
    assert!(message.contains(way_out), "{message}");

    let mut full = counts(2, 0, 2);
    let words = "pods \"r\" is forbidden: exceeded quota: small";
    full["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "message": words}]);
    let mut no_quota = case(json!({}), full);
    let (reason, message) = no_quota.verdict();
    assert_eq!(reason, Reason::QuotaExceeded);
    assert!(message.starts_with(words) && message.contains(way_out), "{message}");

    for stuck in [&mut no_node, &mut no_quota] {
        stuck.strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
        assert!(!stuck.verdict().1.contains("spec.rollout"), "it has taken the way out");
    }
}

#[test]
fn a_rollout_that_takes_too_long_says_so() {
    let mut status = counts(1, 1, 0);
    let late = "ReplicaSet \"r\" has timed out progressing.";
    status["conditions"] = json!([{"type": "Progressing", "status": "False", "message": late}]);
    let (reason, message) = verdict(json!({}), status.clone());
    assert_eq!(reason, Reason::RollingOut);
    assert!(message.ends_with(&format!("; {late}")), "{message}");

    let running = container("wait-for-db", json!({"state": {"running": {}}}));
    let held_up = json!({"status": {"phase": "Pending", "initContainerStatuses": [running]}});
    let message = case(json!({}), status).pods([held_up.clone()]).verdict().1;
    assert!(message.ends_with(&format!("; {late}; init container wait-for-db still runs")), "{message}");
    let message = case(json!({}), counts(1, 1, 0)).pods([held_up]).verdict().1;
    assert!(!message.contains("wait-for-db"), "it has its time: {message}");
}

#[test]
fn a_missing_api_is_said_unless_worse_is_the_matter() {
    let with = |status: Value| {
        let mut case = case(json!({}), status);
        case.missing.push(MissingApi {
            kind: "HTTPRoute",
            definition: "httproutes",
            provider: "the Gateway API",
            field: "spec.route",
        });
        case
    };
    for status in [counts(2, 2, 2), counts(2, 1, 1)] {
        let (reason, message) = with(status).verdict();
        assert_eq!(reason, Reason::DependencyMissing);
        assert!(message.starts_with("spec.route needs the kind HTTPRoute"), "{message}");
    }
    let broken = pod(json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}));
    assert_eq!(with(counts(2, 1, 1)).pods([broken]).verdict().0, Reason::ImagePullFailed);
    let mut suspended = with(counts(0, 0, 0));
    suspended.spec = json!({"suspend": true});
    assert_eq!(suspended.verdict().0, Reason::Suspended);
}

/// A pod that the kubelet has evicted, and the one that takes its place so many seconds later.
fn evicted(seconds: i64, ready: bool) -> Vec<Value> {
    let old = json!({"metadata": {"name": "a"}, "status": {
        "phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"tmp\" exceeds the limit \"64Mi\". ",
        "containerStatuses": [container("sentiment", json!({
            "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": ago(7200)}},
        }))],
    }});
    let ready = if ready { "True" } else { "False" };
    let new = json!({"metadata": {"name": "b", "creationTimestamp": ago(7200 - seconds)}, "status": {
        "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
    }});
    vec![old, new]
}

/// As the kubelet leaves a pod that it has preempted.
#[test]
fn a_pod_that_its_node_ends_in_order_has_not_crashed() {
    let mut pods = evicted(1, false);
    let message = "Pod was preempted by Kubelet to accommodate a critical pod.";
    pods[0] = json!({"metadata": {"name": "a"}, "status": {
        "phase": "Succeeded",
        "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message},
            {"type": "Ready", "status": "False", "reason": "PodCompleted"},
        ],
        "containerStatuses": [container("sentiment", json!({
            "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": ago(7200)}},
        }))],
    }});
    let expected = format!(
        "2 of 2 replicas are of the current spec, 1 serve; a pod was ended by its node, TerminationByKubelet: {message}"
    );
    assert_eq!(case(json!({}), counts(2, 2, 1)).pods(pods).verdict(), (Reason::RollingOut, expected));
}

#[test]
fn an_evicted_pod_is_told_until_another_has_its_place() {
    let progress = "2 of 2 replicas are of the current spec, 1 serve";
    let why = "; a pod was ended by its node, Evicted: Usage of EmptyDir volume \"tmp\" exceeds the limit \"64Mi\".";
    let during = case(json!({}), counts(2, 2, 1)).pods(evicted(1, false)).verdict();
    assert_eq!(during, (Reason::RollingOut, format!("{progress}{why}")));
    // A pod that was taken out of its service in time is gone, and only what was announced tells of it.
    let told = |seconds: i64| {
        let mut coming = case(json!({}), counts(2, 2, 1)).pods(evicted(60, false).split_off(1));
        let at = ago(7200 - seconds).parse().unwrap();
        coming.eviction = Some(Eviction { at, why: "Evicted: The node was low on resource: memory.".into() });
        coming.verdict().1
    };
    assert_eq!(
        told(59),
        format!("{progress}; a pod was ended by its node, Evicted: The node was low on resource: memory.")
    );
    assert_eq!(told(-3600), progress);
    for later in [evicted(3600, false), evicted(1, true)] {
        assert_eq!(case(json!({}), counts(2, 2, 1)).pods(later).verdict(), (Reason::RollingOut, progress.to_owned()));
    }
}
