//! The sentence.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kubesentiment_operator::api::{ConditionType, MANAGER, Reason, SentimentService, SentimentServiceStatus};

use super::{PodReport, Rollout};

/// Why a service is as it is: from its conditions, and from the pods and the Deployment as they are now.
pub(super) fn why(service: &SentimentService, rollout: Option<&Rollout>, pods: Option<&[PodReport]>) -> String {
    let status = service.status.clone().unwrap_or_default();
    if service.metadata.deletion_timestamp.is_some() {
        return "Being deleted".to_owned();
    }
    if status.is_unreported() {
        return format!(
            "No operator has looked at it: see that one runs and watches this namespace, by kubectl get deployments -A -l app.kubernetes.io/name={MANAGER}{}",
            now(rollout)
        );
    }
    let (wanted, seen) =
        (service.metadata.generation.unwrap_or_default(), status.observed_generation.unwrap_or_default());
    let told = told(&status, pods);
    if seen < wanted {
        return format!(
            "The operator has yet to take up the last change (generation {wanted}, its status is of {seen}); before: {told}"
        );
    }
    told
}

/// What the Deployment says where nobody else does.
fn now(rollout: Option<&Rollout>) -> String {
    rollout
        .map(|rollout| format!("; {} of {} pods take traffic", rollout.available, rollout.wanted))
        .unwrap_or_default()
}

fn told(status: &SentimentServiceStatus, pods: Option<&[PodReport]>) -> String {
    let Some(ready) = status.condition(ConditionType::Ready) else {
        return "The operator has written no condition Ready".to_owned();
    };
    let message = ready.message.as_str();
    let failing = failing(pods);
    let failing =
        |does: &str, all: &str| failing.as_ref().map_or_else(|| all.to_owned(), |count| format!("{count} {does}"));
    let words = match Reason::named(&ready.reason) {
        Some(Reason::Serving) => {
            return format!(
                "Serving on {} of {} pods{}",
                status.available_replicas,
                status.replicas,
                beside(status, ready)
            );
        }
        Some(Reason::Suspended) => return format!("Suspended: {message}"),
        Some(Reason::RollingOut) => format!("Rolling out: {message}"),
        Some(Reason::InvalidSpec) => format!("The spec can't be put in force: {message}"),
        Some(Reason::ApplyFailed) => format!("A child can't be written: {message}"),
        Some(Reason::QuotaExceeded) => format!("Waits for quota: {message}"),
        Some(Reason::Unschedulable) => format!("{}: {message}", failing("have no node", "Pods have no node")),
        Some(Reason::ImagePullFailed) => format!("{} {message}", failing("can't pull", "Pods can't pull")),
        Some(Reason::ModelFetchFailed) => {
            format!("{}: {message}", failing("can't get the model", "Pods can't get the model"))
        }
        Some(Reason::ModelLoadFailed) => {
            format!("{}: {message}", failing("can't load the model", "Pods can't load the model"))
        }
        Some(Reason::CrashLooping) => {
            format!("{}: {message}", failing("end again and again", "Pods end again and again"))
        }
        Some(Reason::OutOfMemory) => format!("{}: {message}", failing("run out of memory", "Pods run out of memory")),
        Some(Reason::DependencyMissing) => format!("Waits: {message}"),
        // Of a later release.
        None => format!("{}: {message}", ready.reason),
    };
    let serving = match status.available_replicas {
        0 => "no pod serves".to_owned(),
        available => format!("{available} of {} pods serve meanwhile", status.replicas),
    };
    format!("{words}; {serving}")
}

/// `1 of 3 pods`: those that don't serve and say why, of those that are meant to.
fn failing(pods: Option<&[PodReport]>) -> Option<String> {
    let live: Vec<&PodReport> = pods?.iter().filter(|pod| pod.live).collect();
    let failing = live.iter().filter(|pod| !pod.ready && pod.reason.is_some()).count();
    (failing > 0).then(|| format!("{failing} of {} pods", live.len()))
}

/// What isn't well beside pods that serve.
fn beside(status: &SentimentServiceStatus, ready: &Condition) -> String {
    let holds = |type_, value: &str| status.condition(type_).filter(|condition| condition.status == value);
    let waits = holds(ConditionType::Reconciling, "True").filter(|waits| waits.message != ready.message);
    let parts = [
        ("a newer template of the pods is", waits),
        ("the autoscaler doesn't work:", holds(ConditionType::Scaling, "False")),
        ("no Gateway publishes it:", holds(ConditionType::Published, "False")),
    ];
    let told = |(words, condition): (&str, Option<&Condition>)| {
        condition.map(|condition| format!("; {words} {}", condition.message))
    };
    parts.into_iter().filter_map(told).collect()
}
