//! Pods come and go under constant load, and no caller notices.

use std::{
    process::{Child, Stdio},
    slice,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, PodSpec};
use kube::{
    Api, Client, ResourceExt,
    api::{EvictParams, ListParams, Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome, Report,
    cluster::{kubectl, node_command, predict, process_of},
    ensure, eventually, failure, ready, service, within,
};
use kubesentiment_operator::api::{Quantity, SentimentService};
use serde_json::{Value, json};

use super::serving::serving;

/// Requests a second: well below what two pods of half a CPU take, as a rollout isn't an overload.
const RATE: u64 = 500;

/// Bytes; each of a pod's two volumes may hold 64 MiB.
const MORE_THAN_A_VOLUME_MAY_HOLD: usize = 80 << 20;

/// Requests of one test at least.
const REQUESTS: u64 = 20_000;

/// The program that calls the service, in the node's network.
pub struct Load {
    program: Child,
    begun: Instant,
}

impl Load {
    pub fn start(address: &str) -> Result<Self, Failure> {
        let program = node_command(&[env!("CARGO_BIN_EXE_load"), address, &RATE.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failure)?;
        Ok(Self { program, begun: Instant::now() })
    }

    /// Goes on until there were enough requests, and then checks that each was answered in time.
    pub async fn finish(self) -> Outcome {
        let least = Duration::from_secs(REQUESTS / RATE + 2);
        tokio::time::sleep(least.saturating_sub(self.begun.elapsed())).await;
        let report = tokio::task::spawn_blocking(move || {
            // Waiting closes the program's input first, which ends it.
            let output = self.program.wait_with_output().map_err(failure)?;
            serde_json::from_slice::<Report>(&output.stdout).map_err(failure)
        });
        let report = report.await.map_err(failure)??;
        println!("    {}", json!(report));
        ensure!(report.sent >= REQUESTS, "only {} requests were sent", report.sent);
        let run = report.sent - report.cached;
        ensure!(run * 100 > report.sent && report.cached > run, "{run} of {} were run by the model", report.sent);
        ensure!(report.failed == 0, "{} of {} requests failed: {:?}", report.failed, report.sent, report.failures);
        ensure!(report.over_a_second == 0, "the slowest took {} ms", report.slowest_ms);
        Ok(())
    }
}

pub fn two_pods(more: Value) -> Value {
    let mut spec = json!({"replicas": 2});
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    spec
}

fn stays(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// The pods that neither end nor have failed.
pub async fn pod_names(client: &Client, namespace: &str) -> Result<Vec<String>, Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default()).await.map_err(failure)?;
    Ok(pods.items.iter().filter(|pod| stays(pod)).map(ResourceExt::name_any).collect())
}

/// Waits until two other pods than these serve.
pub async fn replaced(client: &Client, namespace: &str, old: &[String]) -> Outcome {
    eventually("other pods", || async {
        let message = ready(client, namespace, "reviews", "True", "Serving").await?;
        let now = pod_names(client, namespace).await?;
        ensure!(now.len() == 2 && now.iter().all(|name| !old.contains(name)), "{message}: {now:?}");
        Ok(())
    })
    .await
}

/// All pods are replaced twice, by a change of the pod template.
pub async fn update(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "rolling", two_pods(json!({}))).await?;
    let load = Load::start(&address)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for round in ["one", "two"] {
        let old = pod_names(&client, &namespace).await?;
        let spec = two_pods(json!({"podMetadata": {"annotations": {"round": round}}}));
        service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
        replaced(&client, &namespace, &old).await?;
    }
    load.finish().await
}

/// Both pods are evicted, one after the other, as a drain of their node does it.
pub async fn eviction(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "eviction", two_pods(json!({}))).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let load = Load::start(&address)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let old = pod_names(&client, &namespace).await?;
    for pod in &old {
        // A disruption budget may ask for patience, and a drain tries again too.
        eventually("an eviction", || async {
            pods.evict(pod, &EvictParams::default()).await.map_err(failure)?;
            Ok(())
        })
        .await?;
        eventually("a pod in its place", || async {
            let message = ready(&client, &namespace, "reviews", "True", "Serving").await?;
            let now = pod_names(&client, &namespace).await?;
            ensure!(message == "2 of 2 replicas serve" && !now.contains(pod), "{message}: {now:?}");
            Ok(())
        })
        .await?;
    }
    replaced(&client, &namespace, &old).await?;
    load.finish().await
}

/// The kubelet evicts a pod that fills its disk, and kills it after two seconds. By then the operator has taken it out of
/// the service.
pub async fn full_disk(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "full-disk", two_pods(json!({}))).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let names = pod_names(&client, &namespace).await?;
    let name = names.first().ok_or("no pod")?;
    let pod = pods.get(name).await.map_err(failure)?;
    let folder = format!("/proc/{}/root/app/tmp", process_of(&pod, "/app/sentiment-server")?);
    let load = Load::start(&address)?;
    std::fs::write(format!("{folder}/too-much"), vec![0; MORE_THAN_A_VOLUME_MAY_HOLD]).map_err(failure)?;
    // The kubelet measures volumes once a minute.
    let patience = Duration::from_mins(3);
    ended_by_node(&client, &namespace, patience, slice::from_ref(name), "Usage of EmptyDir").await?;
    load.finish().await
}

/// Waits until the service tells that the node ended one of these pods and why, and another serves in its place.
async fn ended_by_node(client: &Client, namespace: &str, patience: Duration, pods: &[String], why: &str) -> Outcome {
    let gone = within(patience, "the end by the kubelet", || async {
        let told = kubectl(&["events", "-n", namespace, "--for", "sentimentservice/reviews"])?;
        let is_told = |name: &&String| {
            told.contains(&format!("pod {name} is ended by its node and was taken out of the service: {why}"))
        };
        pods.iter().find(is_told).ok_or_else(|| format!("the Events are {told}"))
    })
    .await?;
    eventually("a pod in its place", || async {
        let message = ready(client, namespace, "reviews", "True", "Serving").await?;
        let now = pod_names(client, namespace).await?;
        ensure!(now.len() == 2 && !now.contains(gone), "{message}: {now:?}");
        Ok(())
    })
    .await
}

/// Nanoseconds of CPU a second that a pod asks for.
fn requested_cpu(pod: &PodSpec) -> Result<i128, Failure> {
    let requests = pod.containers.iter().filter_map(|container| container.resources.as_ref()?.requests.as_ref());
    requests.filter_map(|requests| requests.get("cpu")).map(nanos).sum()
}

fn nanos(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Result<i128, Failure> {
    Quantity::new(&quantity.0).nanos().map_err(failure)
}

/// Nanoseconds of CPU a second of the node that no pod asks for, once those of earlier tests are gone.
async fn unrequested_cpu(client: &Client) -> Result<i128, Failure> {
    eventually("the end of other tests' pods", || async {
        let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await.map_err(failure)?;
        let ending = |namespace: &&Namespace| namespace.metadata.deletion_timestamp.is_some();
        let ending: Vec<String> = namespaces.iter().filter(ending).map(ResourceExt::name_any).collect();
        ensure!(ending.is_empty(), "there are still {ending:?}");
        Ok(())
    })
    .await?;
    let node = Api::<Node>::all(client.clone()).get("node").await.map_err(failure)?;
    let allocatable = node.status.and_then(|status| status.allocatable).unwrap_or_default();
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await.map_err(failure)?;
    let requested: Result<i128, Failure> = pods.iter().filter_map(|pod| pod.spec.as_ref()).map(requested_cpu).sum();
    Ok(nanos(allocatable.get("cpu").ok_or("the node has no CPU")?)? - requested?)
}

/// The kubelet ends a pod to have its room for a critical one that was given to the node without asking the scheduler.
pub async fn critical_pod(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "critical", two_pods(json!({}))).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let old = pod_names(&client, &namespace).await?;
    let one = pods.get(old.first().ok_or("no pod")?).await.map_err(failure)?.spec.ok_or("no spec")?;
    let container = one.containers.first().ok_or("no container")?;
    let wants = unrequested_cpu(&client).await? + requested_cpu(&one)?;
    let load = Load::start(&address)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let critical = json!({
        "metadata": {"name": "critical"},
        "spec": {
            "nodeName": one.node_name,
            "priorityClassName": "system-node-critical",
            "restartPolicy": "Never",
            "containers": [{
                "name": "critical",
                "image": container.image,
                "args": ["--help"],
                "resources": {"requests": {"cpu": format!("{}m", wants / 1_000_000)}},
                "securityContext": container.security_context,
            }],
            "securityContext": one.security_context,
        },
    });
    let critical: Pod = serde_json::from_value(critical).map_err(failure)?;
    pods.create(&PostParams::default(), &critical).await.map_err(failure)?;
    // It ends at once, so there is room for another again.
    let patience = Duration::from_secs(90);
    ended_by_node(&client, &namespace, patience, &old, "Preempted in order to admit critical pod").await?;
    load.finish().await
}

/// A service that was suspended answers every request from its first answer on.
pub async fn resume(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "resume", two_pods(json!({}))).await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let suspend = |on: bool| {
        let patch = json!({"spec": {"suspend": on}});
        let services = services.clone();
        async move { services.patch("reviews", &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(failure) }
    };
    suspend(true).await?;
    eventually("suspension", || async {
        ready(&client, &namespace, "reviews", "False", "Suspended").await?;
        // Those that are about to end still answer.
        let left = pods.list(&ListParams::default()).await.map_err(failure)?.items.len();
        ensure!(left == 0, "{left} pods are left");
        Ok(())
    })
    .await?;
    suspend(false).await?;
    // The Service's address outlives its pods. The second pod comes while the load is on.
    eventually("an answer", || async { predict(&address, "fine").map(drop) }).await?;
    let load = Load::start(&address)?;
    eventually("serving again", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    load.finish().await
}
