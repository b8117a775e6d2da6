//! Pods that have come to no container.

use super::*;

const WAITS: &str = "2 of 2 replicas are of the current spec, 1 serve";

/// A pod that its kubelet has had for so many seconds.
fn creating(seconds: i64) -> Value {
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(seconds)});
    let state = json!({"state": {"waiting": {"reason": "ContainerCreating"}}});
    json!({"status": {
        "phase": "Pending", "conditions": [scheduled], "containerStatuses": [container("sentiment", state)],
    }})
}

fn with(seconds: i64, warning: Option<&'static str>) -> Case {
    let mut case = case(json!({}), counts(2, 2, 1));
    let serving = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    case.pods = vec![serving, creating(seconds)];
    case.warning = warning;
    case
}

#[test]
fn a_pod_is_asked_for_when_it_has_been_silent_for_a_while() {
    let waiting = with(4, None);
    assert_eq!(waiting.see(silent_pod), None);
    assert_eq!(waiting.look().look_again, Some(Duration::from_secs(6)), "time alone makes it silent");
    let silent = with(10, None);
    assert_eq!(silent.see(silent_pod), Some(1));
    assert_eq!(silent.look().look_again, Some(Duration::from_secs(30)));
    assert_eq!(silent.verdict(), (Reason::RollingOut, WAITS.to_owned()), "nobody has warned");
    assert_eq!(case(json!({}), counts(2, 2, 2)).look().look_again, None, "a quiet service is left in peace");
}

#[test]
fn the_kubelets_last_warning_is_told() {
    let words = "pod reviews-1: FailedCreatePodSandBox: failed to setup network for sandbox \"…\"";
    assert_eq!(with(20, Some(words)).verdict(), (Reason::RollingOut, format!("{WAITS}; {words}")));
    assert_eq!(with(4, Some(words)).verdict().1, WAITS, "it may be of another pod by now");
}

#[test]
fn a_volume_of_what_is_not_there_is_a_missing_dependency() {
    for words in [
        "pod reviews-1: FailedMount: MountVolume.SetUp failed for volume \"config\" : configmap \"reviews\" not found",
        "pod reviews-1: FailedMount: MountVolume.SetUp failed for volume \"key\" : secret \"key\" not found",
        "pod reviews-1: FailedMount: MountVolume.SetUp failed for volume \"key\" : references non-existent secret key: k",
    ] {
        assert_eq!(with(20, Some(words)).verdict(), (Reason::DependencyMissing, words.to_owned()));
    }
    let passes = "pod reviews-1: FailedMount: MountVolume.SetUp failed for volume \"config\" : object \"demo\"/\"reviews\" \
                  not registered";
    assert_eq!(with(20, Some(passes)).verdict().0, Reason::RollingOut);
}
