//! Pods that their nodes evict, as a kubelet tells of them.

use k8s_openapi::api::{
    core::v1::{Event as CoreEvent, Pod},
    events::v1::Event,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{Failure, Outcome, ensure, eventually, failure, namespace, service};
use serde_json::json;

use super::pods::pod_on_a_node;

const WHY: &str = "Usage of EmptyDir volume \"tmp\" exceeds the limit \"64Mi\". ";

/// A pod of a service that serves.
async fn serving_pod(client: &Client, namespace: &str, service: &str, name: &str) -> Result<Pod, Failure> {
    pod_on_a_node(client, namespace, service, name).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let serves = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&serves)).await.map_err(failure)
}

/// What a kubelet writes of a pod that it is about to end.
fn announcement(pod: &Pod, reason: &str) -> Result<CoreEvent, Failure> {
    let event = json!({
        "metadata": {"generateName": "announced-"},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace(), "name": pod.name_any(), "uid": pod.uid(),
        },
        "type": "Warning",
        "reason": reason,
        "message": WHY,
        "source": {"component": "kubelet", "host": "a-node"},
        "reportingComponent": "kubelet",
        "count": 1,
    });
    serde_json::from_value(event).map_err(failure)
}

/// What the operator tells of the end of a pod, on the service.
async fn told(client: &Client, namespace: &str, pod: &str) -> Result<String, Failure> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let list = events.list(&ListParams::default()).await.map_err(failure)?;
    let of_ours = |event: &&Event| {
        let kind = event.regarding.as_ref().and_then(|regarding| regarding.kind.as_deref());
        let note = event.note.as_deref().unwrap_or_default();
        kind == Some("SentimentService")
            && event.reason.as_deref() == Some("PodEvicted")
            && note.starts_with(&format!("pod {pod} is ended by its node"))
    };
    let event = list.items.iter().find(of_ours).ok_or("no Event tells of it")?;
    ensure!(event.type_.as_deref() == Some("Warning"), "its type is {:?}", event.type_);
    event.note.clone().ok_or_else(|| "it has no note".to_owned())
}

/// A kubelet's word on this very pod takes it out of the service; nobody else's, and no other word of it.
pub async fn taken_out(client: Client) -> Outcome {
    let namespace = namespace(&client, "evicted").await?;
    for name in ["reviews", "mails"] {
        service(&client, &namespace, name, json!({"replicas": 1})).await.map_err(failure)?;
    }
    let stays = serving_pod(&client, &namespace, "reviews", "stays").await?;
    let evicted = serving_pod(&client, &namespace, "reviews", "evicted").await?;
    let preempted = serving_pod(&client, &namespace, "mails", "preempted").await?;
    let mut of_an_earlier_pod = announcement(&stays, "Evicted")?;
    of_an_earlier_pod.involved_object.uid = Some("another".to_owned());
    let mut by_somebody = announcement(&stays, "Evicted")?;
    by_somebody.reporting_component = Some("somebody".to_owned());
    let of_something_else = announcement(&stays, "Unhealthy")?;
    let of_ends = [announcement(&evicted, "Evicted")?, announcement(&preempted, "Preempting")?];
    let events: Api<CoreEvent> = Api::namespaced(client.clone(), &namespace);
    for event in [of_an_earlier_pod, by_somebody, of_something_else].iter().chain(&of_ends) {
        events.create(&PostParams::default(), event).await.map_err(failure)?;
    }

    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    for name in ["evicted", "preempted"] {
        eventually("the end of the pod", || async {
            let pod = pods.get(name).await.map_err(failure)?;
            ensure!(pod.metadata.deletion_timestamp.is_some(), "{name} is still to stay");
            Ok(())
        })
        .await?;
        let note = eventually("the Event", || told(&client, &namespace, name)).await?;
        let expected = format!("pod {name} is ended by its node and was taken out of the service: {}", WHY.trim());
        ensure!(note == expected, "the Event says: {note}");
    }
    let pod = pods.get("stays").await.map_err(failure)?;
    ensure!(pod.metadata.deletion_timestamp.is_none(), "the other pod is ended too");

    // What follows at once is one word too many: a service with one pod loses one a minute.
    events.create(&PostParams::default(), &announcement(&stays, "Evicted")?).await.map_err(failure)?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let pod = pods.get("stays").await.map_err(failure)?;
    ensure!(pod.metadata.deletion_timestamp.is_none(), "a second pod of the same service is ended at once");
    Ok(())
}

/// No disruption controller runs, so the budget allows nothing.
pub async fn kept(client: Client) -> Outcome {
    let namespace = namespace(&client, "kept").await?;
    service(&client, &namespace, "reviews", json!({"replicas": 2})).await.map_err(failure)?;
    let pod = serving_pod(&client, &namespace, "reviews", "stays").await?;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    eventually("the budget", || async { budgets.get("reviews").await.map_err(failure) }).await?;
    let events: Api<CoreEvent> = Api::namespaced(client.clone(), &namespace);
    events.create(&PostParams::default(), &announcement(&pod, "Evicted")?).await.map_err(failure)?;
    let note = eventually("the Event", || told(&client, &namespace, "stays")).await?;
    ensure!(note.contains("stays in the service until then: the eviction API did not let it go"), "{note}");
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = pods.get("stays").await.map_err(failure)?;
    ensure!(pod.metadata.deletion_timestamp.is_none(), "it is ended in spite of the budget");
    Ok(())
}
