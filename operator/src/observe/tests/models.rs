//! Models that come from elsewhere.

use super::*;

/// A service whose model is fetched.
fn fetched() -> Value {
    json!({"model": {"source": {"huggingFace": {"repository": "a/b"}}}})
}

/// A service whose model the node mounts.
fn mounted() -> Value {
    json!({"model": {"source": {"image": {"reference": "registry.example.com/models/reviews:3"}}}})
}

/// A pod whose fetcher is in some state, while its server waits.
fn fetching(seconds: i64, fetcher: Value) -> Value {
    let waiting = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
    json!({
        "metadata": {"name": "a", "creationTimestamp": ago(seconds)},
        "status": {
            "phase": "Pending", "initContainerStatuses": [container("fetch-model", fetcher)],
            "containerStatuses": [container("sentiment", waiting)],
        },
    })
}

fn with(spec: Value, pod: Value) -> Case {
    case(spec, counts(3, 1, 2)).pods([pod])
}

fn ended(code: i32, reason: &str, message: &str) -> Value {
    json!({"terminated": {
        "exitCode": code, "reason": reason, "message": message, "startedAt": ago(9), "finishedAt": ago(5),
    }})
}

fn fetch(fetcher: Value) -> (Reason, String) {
    with(fetched(), fetching(60, fetcher)).verdict()
}

#[test]
fn a_fetch_that_came_to_nothing_says_why_at_its_first_end() {
    let words = "huggingface.co answered 401 for a/b: set spec.model.source.huggingFace.tokenSecretRef";
    let expected = (Reason::ModelFetchFailed, words.to_owned());
    assert_eq!(fetch(json!({"state": ended(1, "Error", words)})), expected);
    assert_eq!(fetch(json!({"state": ended(1, "Error", &format!("ModelFetchFailed: {words}"))})), expected);
    let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    assert_eq!(fetch(json!({"state": back_off, "lastState": ended(1, "Error", words), "restartCount": 3})), expected);
    let again = json!({"state": {"running": {}}, "lastState": ended(1, "Error", words), "restartCount": 1});
    assert_eq!(fetch(again), expected, "it tries again, and nobody knows better");
}

#[test]
fn a_fetch_that_was_cut_short_is_no_failure_unless_it_happens_again() {
    for (code, reason) in [(255, "Unknown"), (137, "Error"), (143, "Error")] {
        let (reason, message) = fetch(json!({"state": ended(code, reason, "")}));
        assert_eq!(reason, Reason::RollingOut, "{message}");
        assert!(message.contains("; init container fetch-model ended with exit code"), "{message}");
    }
    let (reason, message) = fetch(json!({"state": ended(139, "Error", ""), "restartCount": 2}));
    assert_eq!(reason, Reason::ModelFetchFailed);
    let words = "fetching the model ended with exit code 139; see kubectl logs --previous --container fetch-model";
    assert_eq!(message, words);
    let (reason, message) = fetch(json!({"state": ended(137, "OOMKilled", ""), "restartCount": 2}));
    assert_eq!(reason, Reason::OutOfMemory);
    assert_eq!(message, "fetching the model took more memory than the limit of 1Gi: raise resources.limits.memory");
}

#[test]
fn a_fetch_that_is_done_is_no_failure() {
    let (reason, message) = fetch(json!({"state": ended(0, "Completed", ""), "restartCount": 3}));
    assert_eq!(reason, Reason::RollingOut);
    assert!(!message.contains("fetch"), "{message}");
}

#[test]
fn a_fetch_that_takes_its_time_is_told() {
    let running = json!({"state": {"running": {"startedAt": ago(60)}}});
    let long = with(fetched(), fetching(60, running.clone())).verdict();
    assert_eq!(long.0, Reason::RollingOut);
    assert!(long.1.ends_with("; the model is being fetched: huggingFace a/b@main"), "{}", long.1);
    let short = with(fetched(), fetching(4, running)).look();
    assert!(!short.verdict.message.contains("fetched"), "{}", short.verdict.message);
    assert_eq!(short.look_again, Some(Duration::from_secs(6)), "time alone makes it worth a word");
}

#[test]
fn what_a_fetch_needs_and_is_not_there_is_a_missing_dependency() {
    let words = "secret \"hub\" not found";
    let waiting = json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": words}}});
    assert_eq!(fetch(waiting), (Reason::DependencyMissing, words.to_owned()));
}

#[test]
fn the_image_of_a_fetch_is_the_servers() {
    let waiting = json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}});
    assert_eq!(fetch(waiting), (Reason::ImagePullFailed, "image s:1: not found".to_owned()));
}

fn unscheduled(message: &str) -> Value {
    json!({"metadata": {"name": "a"}, "status": {"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
    }]}})
}

#[test]
fn a_claim_that_is_not_there_is_a_missing_dependency() {
    let words = "0/1 nodes are available: persistentvolumeclaim \"models\" not found. preemption: not helpful";
    let claim = json!({"model": {"source": {"persistentVolumeClaim": {"claimName": "models"}}}});
    let expected = "PersistentVolumeClaim \"models\", which spec.model.source.persistentVolumeClaim names, doesn't exist in \
                    this namespace: create it, or correct spec.model.source.persistentVolumeClaim";
    assert_eq!(with(claim.clone(), unscheduled(words)).verdict(), (Reason::DependencyMissing, expected.to_owned()));
    let mut cache = fetched();
    cache["model"]["cache"] = json!({"claimName": "models"});
    let (reason, message) = with(cache.clone(), unscheduled(words)).verdict();
    assert_eq!(reason, Reason::DependencyMissing);
    assert!(message.contains("which spec.model.cache names"), "{message}");
    // One that isn't bound yet is the cluster's affair, and so is one of somebody else's volume.
    let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    assert_eq!(with(claim, unscheduled(unbound)).verdict().0, Reason::Unschedulable);
    cache["model"]["cache"] = json!({"claimName": "others"});
    assert_eq!(with(cache, unscheduled(words)).verdict().0, Reason::Unschedulable);
}

fn server(reason: &str, message: &str) -> Value {
    pod(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
}

#[test]
fn the_image_of_a_model_is_told_from_that_of_the_server() {
    let of = |message: &str| with(mounted(), server("ErrImagePull", message)).verdict();
    let words = "failed to pull and unpack image \"registry.example.com/models/reviews:3\": not found";
    let expected = format!("model image registry.example.com/models/reviews:3: {words}");
    assert_eq!(of(words), (Reason::ModelFetchFailed, expected.clone()));
    let back_off = format!("Back-off pulling image \"registry.example.com/models/reviews:3\": ErrImagePull: {words}");
    let waiting = with(mounted(), server("ImagePullBackOff", &back_off)).verdict();
    assert_eq!(waiting, (Reason::ModelFetchFailed, expected), "the words stay the same while the kubelet waits");
    // CRI-O doesn't write tag and name together.
    assert_eq!(of("reading manifest 3 in registry.example.com/models/reviews: denied").0, Reason::ModelFetchFailed);
    let others = "failed to pull and unpack image \"docker.io/library/sentiment-service:distroless\": not found";
    assert_eq!(of(others), (Reason::ImagePullFailed, format!("image s:1: {others}")));
}

#[test]
fn of_two_images_of_which_one_is_named_as_the_other_begins_the_longer_is_meant() {
    let spec = |server: &str, model: &str| json!({"image": {"repository": server, "tag": "1"}, "model": {"source": {"image": {"reference": model}}}});
    let of = |spec, words: &str| with(spec, server("ErrImagePull", words)).verdict().0;
    assert_eq!(of(spec("r.io/s", "r.io/s-model:1"), "r.io/s-model:1: not found"), Reason::ModelFetchFailed);
    assert_eq!(of(spec("r.io/s-server", "r.io/s:1"), "r.io/s-server:1: not found"), Reason::ImagePullFailed);
}

#[test]
fn a_node_that_mounts_no_images_says_what_to_do() {
    let way_out = "set the operator's --image-volumes to never";
    let words = "failed to generate container spec: failed to mkdir \"\": mkdir : no such file or directory";
    let (reason, message) = with(mounted(), server("CreateContainerError", words)).verdict();
    assert_eq!(reason, Reason::ModelFetchFailed);
    assert!(message.starts_with(words) && message.contains(way_out), "{message}");
    assert_eq!(with(fetched(), server("CreateContainerError", words)).verdict().0, Reason::CrashLooping);

    let kubelet = "pod a: FailedMount: Unable to attach or mount volumes: failed to process volumes=[model]: failed to get \
                   Plugin from volumeSpec for volume \"model\" err=no volume plugin matched";
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(60)});
    let creating = json!({"state": {"waiting": {"reason": "ContainerCreating"}}});
    let silent = json!({"status": {
        "phase": "Pending", "conditions": [scheduled], "containerStatuses": [container("sentiment", creating)],
    }});
    let mut case = with(mounted(), silent);
    case.warning = Some(kubelet);
    let (reason, message) = case.verdict();
    assert_eq!(reason, Reason::ModelFetchFailed);
    assert!(message.starts_with(kubelet) && message.contains(way_out), "{message}");
}

#[test]
fn what_serves_goes_on_while_a_model_can_not_be_had() {
    let failed = json!({"state": ended(1, "Error", "no")});
    let look = case(fetched(), counts(3, 1, 2)).pods([fetching(60, failed)]).look();
    assert_eq!((look.verdict.reason, look.counts.available), (Reason::ModelFetchFailed, 2));
}
