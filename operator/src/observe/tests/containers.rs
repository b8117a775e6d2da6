//! Containers that can't start or that end: the server's, and those of others.

use super::*;

/// How a container ended that ran for so many seconds, so many seconds ago.
fn ended(code: i32, reason: &str, message: &str, ran: i64, at: i64) -> Value {
    json!({"terminated": {
        "exitCode": code, "reason": reason, "message": message, "startedAt": ago(at + ran), "finishedAt": ago(at),
    }})
}

fn back_off(last: Value) -> Value {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}});
    json!({"state": waiting, "lastState": last, "restartCount": 3})
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
    let of = |message: &str| {
        failure(json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": message}}}))
    };
    assert_eq!(of("secret \"key\" not found"), (Reason::DependencyMissing, "secret \"key\" not found".into()));
    // A kubelet that has just been started says this for a moment of Secrets that are there.
    assert_eq!(of("failed to sync secret cache: timed out waiting for the condition").0, Reason::RollingOut);
}

#[test]
fn the_termination_message_names_the_reason() {
    let of = |message: &str| failure(back_off(ended(1, "Error", message, 1, 5)));
    assert_eq!(
        of("ModelLoadFailed: /app/model holds no *.onnx file"),
        (Reason::ModelLoadFailed, "/app/model holds no *.onnx file".into())
    );
    assert_eq!(
        of("InvalidConfig: MLOPS_PORT is \"x\""),
        (Reason::CrashLooping, "the server ended with exit code 1: InvalidConfig: MLOPS_PORT is \"x\"".into())
    );
    assert_eq!(of(""), (Reason::CrashLooping, "the server ended with exit code 1; see kubectl logs --previous".into()));
}

#[test]
fn a_long_termination_message_names_the_reason_all_the_same() {
    let sentence = format!("{} holds no *.onnx file", "x".repeat(2000));
    let (reason, message) = failure(back_off(ended(1, "Error", &format!("ModelLoadFailed: {sentence}"), 1, 5)));
    assert_eq!((reason, message.len()), (Reason::ModelLoadFailed, 1024));
    assert!(message.ends_with("holds no *.onnx file"), "{message}");
}

#[test]
fn what_the_server_says_itself_is_definite_at_the_first_end() {
    for (message, reason) in
        [("ModelLoadFailed: no", Reason::ModelLoadFailed), ("InvalidConfig: no", Reason::CrashLooping)]
    {
        let first = json!({"state": ended(1, "Error", message, 1, 0)});
        assert_eq!(failure(first).0, reason);
        let second_try =
            json!({"state": {"running": {}}, "lastState": ended(1, "Error", message, 1, 2), "restartCount": 1});
        assert_eq!(failure(second_try).0, reason);
    }
}

/// All containers of a node end with it, and are started again within seconds.
#[test]
fn one_restart_is_no_loop() {
    for (code, reason) in [(255, "Unknown"), (137, "Error"), (143, "Error"), (0, "Completed")] {
        let last = ended(code, reason, "", 86_400, 4);
        let down = json!({"state": last.clone(), "restartCount": 0});
        let coming = json!({
            "state": {"waiting": {"reason": "ContainerCreating"}}, "lastState": last.clone(), "restartCount": 0,
        });
        let again = json!({"state": {"running": {"startedAt": ago(2)}}, "lastState": last, "restartCount": 1});
        for server in [down, coming, again] {
            let (verdict, message) = failure(server.clone());
            assert_eq!(verdict, Reason::RollingOut, "{server}: {message}");
            let words = format!("; the server ended with exit code {code}");
            assert!(message.contains(&words) && message.ends_with(", and is started again"), "{message}");
        }
    }
}

#[test]
fn a_node_that_reboots_now_and_then_is_no_loop_either() {
    let again = json!({"state": {"running": {}}, "lastState": ended(255, "Unknown", "", 86_400, 4), "restartCount": 7});
    assert_eq!(failure(again).0, Reason::RollingOut);
    let lost = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
    assert_eq!(failure(json!({"state": {"running": {}}, "lastState": lost, "restartCount": 7})).0, Reason::RollingOut);
}

#[test]
fn two_ends_in_a_short_time_are_a_loop() {
    let last = ended(1, "Error", "no", 3, 20);
    let third = json!({"state": {"running": {}}, "lastState": last.clone(), "restartCount": 2});
    assert_eq!(failure(third), (Reason::CrashLooping, "the server ended with exit code 1: no".into()));
    let second_end = json!({"state": last.clone(), "restartCount": 1});
    assert_eq!(failure(second_end).0, Reason::CrashLooping);
    let long_ago = json!({"state": {"running": {}}, "lastState": ended(1, "Error", "no", 3, 3600), "restartCount": 2});
    let (reason, message) = failure(long_ago);
    assert_eq!(reason, Reason::RollingOut, "it runs for an hour, and something else is the matter");
    assert!(!message.contains("ended"), "{message}");
    let recovered = json!({"ready": true, "state": {"running": {}}, "lastState": last, "restartCount": 2});
    assert_eq!(failure(recovered).0, Reason::RollingOut);
}

#[test]
fn the_kubelets_word_for_a_loop_is_taken() {
    assert_eq!(failure(back_off(ended(137, "Error", "", 3600, 5))).0, Reason::CrashLooping);
}

#[test]
fn memory_that_runs_out_once_is_told_and_twice_is_a_failure() {
    let last = ended(137, "OOMKilled", "", 3, 5);
    let once = failure(json!({"state": {"running": {}}, "lastState": last.clone(), "restartCount": 1}));
    assert_eq!(once.0, Reason::RollingOut);
    let words = "; the server ended for more memory than its limit of 1Gi, and is started again";
    assert!(once.1.ends_with(words), "{}", once.1);
    let twice = failure(json!({"state": {"running": {}}, "lastState": last, "restartCount": 2}));
    let words = "the server took more memory than its limit of 1Gi: raise resources.limits.memory";
    assert_eq!(twice, (Reason::OutOfMemory, words.into()));
}

/// A pod whose server waits for, or stands beside, a container of somebody else.
fn beside(init: Value, sidecar: Value) -> (Reason, String) {
    let waiting = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
    let pod = json!({
        "spec": {"containers": [], "initContainers": [{"name": "linkerd-proxy", "restartPolicy": "Always"}]},
        "status": {
            "phase": "Pending", "initContainerStatuses": init,
            "containerStatuses": [container("sentiment", waiting), sidecar],
        },
    });
    case(json!({}), counts(3, 1, 2)).pods([pod]).verdict()
}

#[test]
fn a_container_of_others_is_named_with_its_words() {
    let well = || container("logs", json!({"state": {"waiting": {"reason": "PodInitializing"}}}));
    let vault =
        container("vault-agent", json!({"restartCount": 4, "state": ended(1, "Error", "permission denied", 2, 3)}));
    let expected = "init container vault-agent: ended with exit code 1: permission denied";
    assert_eq!(beside(json!([vault]), well()), (Reason::CrashLooping, expected.into()));

    let pulling = json!({"image": "proxy:9", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}});
    let expected = "container linkerd-proxy: image proxy:9: not found";
    let init = json!([container("linkerd-proxy", pulling)]);
    assert_eq!(beside(init, well()), (Reason::ImagePullFailed, expected.into()));

    let config =
        json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"t\" not found"}}});
    let expected = "container istio-proxy: secret \"t\" not found";
    assert_eq!(beside(json!([]), container("istio-proxy", config)), (Reason::DependencyMissing, expected.into()));

    let crashed = container("istio-proxy", back_off(ended(137, "OOMKilled", "", 2, 3)));
    let expected = "container istio-proxy: ended with exit code 137 (OOMKilled); see kubectl logs --previous --container istio-proxy";
    assert_eq!(beside(json!([]), crashed), (Reason::CrashLooping, expected.into()));

    let once = container(
        "istio-proxy",
        json!({"restartCount": 1, "state": {"running": {}}, "lastState": ended(1, "Error", "", 2, 3)}),
    );
    let (reason, message) = beside(json!([]), once);
    assert_eq!(reason, Reason::RollingOut);
    assert!(message.ends_with("; container istio-proxy ended with exit code 1, and is started again"), "{message}");
}

#[test]
fn an_init_container_that_has_done_its_work_is_no_failure() {
    let done = container("vault-agent", json!({"state": ended(0, "Completed", "", 2, 3), "restartCount": 3}));
    let well = container("logs", json!({"state": {"waiting": {"reason": "PodInitializing"}}}));
    let (reason, message) = beside(json!([done]), well);
    assert_eq!(reason, Reason::RollingOut);
    assert!(!message.contains("vault-agent"), "{message}");
}

#[test]
fn the_servers_own_failure_comes_before_that_of_others() {
    let server = container("sentiment", back_off(ended(1, "Error", "ModelLoadFailed: no model", 1, 5)));
    let proxy = container("a-proxy", json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}));
    let pod = json!({"status": {"phase": "Running", "containerStatuses": [proxy, server]}});
    assert_eq!(case(json!({}), counts(3, 1, 2)).pods([pod]).verdict().0, Reason::ModelLoadFailed);
}
