#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::valid;

fn deployment(generation: i64, status: Value) -> Deployment {
    serde_json::from_value(json!({"metadata": {"generation": generation}, "status": status})).unwrap()
}

fn counts(total: i32, updated: i32, available: i32) -> Value {
    json!({
        "observedGeneration": 1,
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
    })
}

fn pod(container: Value) -> Arc<Pod> {
    let mut container = container;
    container["name"] = json!("sentiment");
    for (key, value) in [("image", json!("s:1")), ("imageID", json!("")), ("restartCount", json!(0))] {
        container.as_object_mut().unwrap().entry(key).or_insert(value);
    }
    container.as_object_mut().unwrap().entry("ready").or_insert(json!(false));
    Arc::new(serde_json::from_value(json!({"status": {"containerStatuses": [container]}})).unwrap())
}

fn verdict(spec: Value, status: Value, pods: &[Arc<Pod>]) -> (Reason, String) {
    let Observation { reason, message, .. } = judge(&valid(spec), &deployment(1, status), pods, &[], None);
    (reason, message)
}

/// The verdict on a pod of a service that hasn't finished its rollout.
fn failure(container: Value) -> (Reason, String) {
    verdict(json!({}), counts(3, 1, 2), &[pod(container)])
}

#[test]
fn all_replicas_of_the_current_spec_serve() {
    assert_eq!(verdict(json!({}), counts(2, 2, 2), &[]), (Reason::Serving, "2 of 2 replicas serve".into()));
}

#[test]
fn scaled_to_zero_by_something_else_is_a_state_and_no_fault() {
    let verdict = |spec: Value, set: i32, pods: i32| {
        let mut deployment = deployment(1, counts(pods, pods, pods));
        deployment.spec.get_or_insert_default().replicas = Some(set);
        let Observation { reason, message, .. } = judge(&valid(spec), &deployment, &[], &[], None);
        (reason, message)
    };
    let external = json!({"autoscaling": {"external": {}}});
    let message = "what scales the Deployment wants no pod at present: no pod runs".to_owned();
    assert_eq!(verdict(external.clone(), 0, 0), (Reason::Suspended, message));
    assert_eq!(verdict(external.clone(), 3, 3), (Reason::Serving, "3 of 3 replicas serve".to_owned()));
    assert_eq!(verdict(external, 1, 0).0, Reason::RollingOut);
    let target = json!({"type": "AverageValue", "averageValue": "8"});
    let queue = json!({"type": "External", "external": {"metric": {"name": "queue"}, "target": target}});
    let from_zero = json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3, "metrics": [queue]}});
    let (reason, message) = verdict(from_zero.clone(), 0, 0);
    assert_eq!(reason, Reason::Suspended);
    assert!(message.starts_with("its autoscaler wants no pod at present"), "{message}");
    assert_eq!(verdict(from_zero, 2, 1).0, Reason::Serving, "what it adds is its own affair");
}

#[test]
fn an_old_pod_that_remains_is_a_rollout() {
    let (reason, message) = verdict(json!({}), counts(3, 2, 3), &[]);
    assert_eq!(reason, Reason::RollingOut);
    assert_eq!(message, "2 of 2 replicas are of the current spec, 3 serve, 1 of an older spec remain");
}

#[test]
fn counts_of_an_older_generation_prove_nothing() {
    let observation = judge(&valid(json!({})), &deployment(2, counts(2, 2, 2)), &[], &[], None);
    assert_eq!(observation.reason, Reason::RollingOut);
    let failed = pod(json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}));
    let observation = judge(&valid(json!({})), &deployment(2, counts(2, 2, 2)), &[failed], &[], None);
    assert_eq!(observation.reason, Reason::RollingOut, "a pod of the revision before has no say");
}

#[test]
fn suspended_says_what_is_left() {
    let suspend = json!({"suspend": true});
    assert_eq!(
        verdict(suspend.clone(), counts(0, 0, 0), &[]),
        (Reason::Suspended, "spec.suspend is true: no pod runs".into())
    );
    assert_eq!(verdict(suspend, counts(2, 0, 0), &[]).1, "spec.suspend is true: 2 pods are stopping");
    assert_eq!(verdict(json!({"replicas": 0}), counts(0, 0, 0), &[]).1, "spec.replicas is 0: no pod runs");
}

#[test]
fn the_registrys_words_are_carried_and_stay_the_same_while_the_kubelet_waits() {
    let words = "failed to resolve reference \"s:1\": not found";
    let trying = json!({"state": {"waiting": {"reason": "ErrImagePull", "message": words}}});
    let back_off = format!("Back-off pulling image \"s:1\": ErrImagePull: {words}");
    let waiting = json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": back_off}}});
    assert_eq!(failure(trying.clone()), (Reason::ImagePullFailed, format!("image s:1: {words}")));
    assert_eq!(failure(trying), failure(waiting));
}

#[test]
fn a_missing_secret_is_a_missing_dependency() {
    let waiting = json!({"reason": "CreateContainerConfigError", "message": "secret \"key\" not found"});
    let (reason, message) = failure(json!({"state": {"waiting": waiting}}));
    assert_eq!((reason, message.as_str()), (Reason::DependencyMissing, "secret \"key\" not found"));
}

#[test]
fn the_termination_message_names_the_reason() {
    let ended = |message: &str| {
        json!({
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}},
        })
    };
    assert_eq!(
        failure(ended("ModelLoadFailed: /app/model holds no *.onnx file")),
        (Reason::ModelLoadFailed, "/app/model holds no *.onnx file".into())
    );
    assert_eq!(
        failure(ended("InvalidConfig: MLOPS_PORT is \"x\"")),
        (Reason::CrashLooping, "the server ended with exit code 1: InvalidConfig: MLOPS_PORT is \"x\"".into())
    );
    assert_eq!(
        failure(ended("")),
        (Reason::CrashLooping, "the server ended with exit code 1; see kubectl logs --previous".into())
    );
}

#[test]
fn a_container_between_two_crashes_is_still_failing() {
    let running = json!({
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    });
    let (reason, message) = failure(running);
    assert_eq!(reason, Reason::OutOfMemory);
    assert_eq!(message, "the server took more memory than its limit of 1Gi: raise resources.limits.memory");
}

#[test]
fn a_container_that_recovered_is_no_cause() {
    let recovered = json!({
        "ready": true,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    });
    assert_eq!(failure(recovered).0, Reason::RollingOut);
}

#[test]
fn no_node_takes_the_pod() {
    let pod: Pod = serde_json::from_value(json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }]}}))
    .unwrap();
    assert_eq!(
        verdict(json!({}), counts(0, 0, 0), &[Arc::new(pod)]),
        (Reason::Unschedulable, "0/1 nodes are available: 1 Insufficient cpu.".into())
    );
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
        assert_eq!(verdict(json!({}), status, &[]), (reason, message.to_owned()));
    }
}

#[test]
fn a_rollout_that_takes_too_long_says_so() {
    let mut status = counts(1, 1, 0);
    status["conditions"] =
        json!([{"type": "Progressing", "status": "False", "message": "ReplicaSet \"r\" has timed out progressing."}]);
    let (reason, message) = verdict(json!({}), status, &[]);
    assert_eq!(reason, Reason::RollingOut);
    assert!(message.ends_with("; ReplicaSet \"r\" has timed out progressing."), "{message}");
}

#[test]
fn only_pods_of_the_current_revision_count() {
    let replica_set = |name: &str, revision: &str| -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "annotations": {REVISION: revision}}})).unwrap(),
        )
    };
    let deployment: Deployment = serde_json::from_value(json!({"metadata": {"annotations": {REVISION: "2"}}})).unwrap();
    let found = current_replica_set(&deployment, &[replica_set("old", "1"), replica_set("new", "2")]);
    assert_eq!(found.unwrap().name_any(), "new");
}

#[test]
fn more_pods_than_the_fewest_are_the_autoscalers_affair() {
    let spec = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}});
    let mut deployment = deployment(1, counts(5, 5, 3));
    deployment.spec.get_or_insert_default().replicas = Some(5);
    let observation = judge(&valid(spec.clone()), &deployment, &[], &[], None);
    assert_eq!((observation.reason, observation.message.as_str()), (Reason::Serving, "3 of 5 replicas serve"));
    assert_eq!(verdict(spec, counts(5, 5, 1), &[]).0, Reason::RollingOut);
}

#[test]
fn a_missing_api_is_said_unless_worse_is_the_matter() {
    let missing = [MissingApi { kind: "HTTPRoute", provider: "the Gateway API", field: "spec.route" }];
    let judged =
        |status: Value, pods: &[Arc<Pod>]| judge(&valid(json!({})), &deployment(1, status), pods, &missing, None);
    let observation = judged(counts(2, 2, 2), &[]);
    assert_eq!(observation.reason, Reason::DependencyMissing);
    assert!(observation.message.starts_with("spec.route needs the kind HTTPRoute"), "{}", observation.message);
    let broken = pod(json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}));
    assert_eq!(judged(counts(2, 1, 1), &[broken]).reason, Reason::ImagePullFailed);
}

#[test]
fn the_digest_is_what_the_kubelet_says_runs() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let of = |image_id: String| {
        let pods = [pod(json!({"ready": true, "imageID": image_id}))];
        judge(&valid(json!({})), &deployment(1, counts(2, 2, 2)), &pods, &[], None).image_digest
    };
    assert_eq!(of(format!("registry.example.com/s@{digest}")), Some(digest.clone()));
    assert_eq!(of(digest.clone()), Some(digest));
    assert_eq!(of(String::new()), None);
}

/// A pod that the kubelet has evicted, and the one that takes its place so many seconds later.
fn evicted(seconds: i64, ready: bool) -> Vec<Arc<Pod>> {
    let ended = Timestamp::UNIX_EPOCH;
    let created = ended + SignedDuration::from_secs(seconds);
    let old = json!({"metadata": {"name": "a"}, "status": {
        "phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume \"tmp\" exceeds the limit \"64Mi\". ",
        "containerStatuses": [{
            "name": "sentiment", "image": "s:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": ended.to_string()}},
        }],
    }});
    let ready = if ready { "True" } else { "False" };
    let new = json!({"metadata": {"name": "b", "creationTimestamp": created.to_string()}, "status": {
        "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
    }});
    [old, new].into_iter().map(|pod| Arc::new(serde_json::from_value(pod).unwrap())).collect()
}

/// As the kubelet leaves a pod that it has preempted.
#[test]
fn a_pod_that_its_node_ends_in_order_has_not_crashed() {
    let mut pods = evicted(1, false);
    let message = "Pod was preempted by Kubelet to accommodate a critical pod.";
    let ended = json!({"metadata": {"name": "a"}, "status": {
        "phase": "Succeeded",
        "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message},
            {"type": "Ready", "status": "False", "reason": "PodCompleted"},
        ],
        "containerStatuses": [{
            "name": "sentiment", "image": "s:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {
                "exitCode": 0, "reason": "Completed", "finishedAt": Timestamp::UNIX_EPOCH.to_string(),
            }},
        }],
    }});
    pods[0] = Arc::new(serde_json::from_value(ended).unwrap());
    let expected = format!(
        "2 of 2 replicas are of the current spec, 1 serve; a pod was ended by its node, TerminationByKubelet: {message}"
    );
    assert_eq!(verdict(json!({}), counts(2, 2, 1), &pods), (Reason::RollingOut, expected));
}

#[test]
fn an_evicted_pod_is_told_until_another_has_its_place() {
    let progress = "2 of 2 replicas are of the current spec, 1 serve";
    let why = "; a pod was ended by its node, Evicted: Usage of EmptyDir volume \"tmp\" exceeds the limit \"64Mi\".";
    let during = verdict(json!({}), counts(2, 2, 1), &evicted(1, false));
    assert_eq!(during, (Reason::RollingOut, format!("{progress}{why}")));
    // A pod that was taken out of its service in time is gone, and only what was announced tells of it.
    let eviction = |seconds| Eviction {
        at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds),
        why: "Evicted: The node was low on resource: memory.".to_owned(),
    };
    let told = |seconds| {
        let coming = &evicted(60, false)[1..];
        judge(&valid(json!({})), &deployment(1, counts(2, 2, 1)), coming, &[], Some(&eviction(seconds))).message
    };
    assert_eq!(
        told(59),
        format!("{progress}; a pod was ended by its node, Evicted: The node was low on resource: memory.")
    );
    assert_eq!(told(-3600), progress);
    for later in [evicted(3600, false), evicted(1, true)] {
        assert_eq!(verdict(json!({}), counts(2, 2, 1), &later), (Reason::RollingOut, progress.to_owned()));
    }
}
