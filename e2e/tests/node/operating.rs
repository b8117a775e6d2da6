//! The operator's own pod.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Pod, Service, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use kubesentiment_e2e::{
    Outcome,
    cluster::{OPERATOR_NAMESPACE, in_node, kubectl, leader, process_of, signal},
    ensure, eventually, failure, resource_versions, within,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::json;

use super::serving::serving;

const OPERATOR: &str = "deployment/kubesentiment-operator";

/// A stopping leader finishes in order and hands over at once; its successor writes nothing that is
/// as it should be.
pub async fn restart(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "restart", json!({"replicas": 1})).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = resource_versions(&client, &namespace).await?;
    let old = leader(&client).await?;

    // The log outlives the process, but not the pod: follow it until it ends.
    let follow = {
        let old = old.clone();
        tokio::task::spawn_blocking(move || kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "-f", &old]))
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    pods.delete(&old, &DeleteParams::default()).await.map_err(failure)?;
    let new = within(Duration::from_secs(5), "the handover", || async {
        let new = leader(&client).await?;
        ensure!(new != old, "{old} still leads");
        Ok(new)
    })
    .await?;
    let log = follow.await.map_err(failure)??;
    let last = log.lines().last().unwrap_or_default();
    ensure!(log.contains("finishing what has begun") && last.contains("\"stopped\""), "the log ends with {last}");

    eventually("the successor's watches", || async {
        let log = kubectl(&["-n", OPERATOR_NAMESPACE, "logs", &new])?;
        ensure!(log.contains("all watches are answered"), "{log}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = resource_versions(&client, &namespace).await?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

/// A leader that hangs is replaced within fifteen seconds; awake again, it ends, since it leads no more.
pub async fn hanging_leader(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "hanging", json!({"replicas": 1})).await?;
    let old = leader(&client).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let pod = pods.get(&old).await.map_err(failure)?;
    let process = process_of(&pod, "/kubesentiment-operator")?;
    signal(process, "STOP")?;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    let takeover = within(Duration::from_secs(15), "the takeover", || async {
        let new = leader(&client).await?;
        ensure!(new != old, "{old} still leads");
        Ok(())
    })
    .await;
    signal(process, "CONT")?;
    takeover?;
    eventually("the Service's return", || async { services.get("reviews").await.map(drop).map_err(failure) }).await?;
    eventually("the old leader's end", || async {
        let log = kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "--previous", &old])?;
        ensure!(log.contains("is lost; ending"), "{log}");
        Ok(())
    })
    .await?;
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", OPERATOR, "--timeout=60s"])?;
    Ok(())
}

/// Health, readiness and metrics answer.
pub async fn endpoints(client: Client) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let pod = pods.get(&leader(&client).await?).await.map_err(failure)?;
    let ip = pod.status.and_then(|status| status.pod_ip).unwrap_or_default();
    for (path, part) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "kubesentiment_operator_services{reason=\"Serving\"}"),
        ("/metrics", "kubesentiment_operator_leader 1"),
        ("/metrics", "kubesentiment_operator_reconciles_total{result=\"success\"}"),
    ] {
        let answer = in_node(&["curl", "-sS", "--fail-with-body", &format!("http://{ip}:8080{path}")])?;
        ensure!(answer.contains(part), "{part} is missing in {answer}");
    }
    Ok(())
}

/// Deleting a service never waits for the operator: the garbage collector removes the children.
pub async fn deletion_without_operator(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "deletion", json!({"replicas": 1})).await?;
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", OPERATOR, "--replicas=0"])?;
    let outcome = delete_and_wait(&client, &namespace).await;
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", OPERATOR, "--replicas=2"])?;
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", OPERATOR, "--timeout=60s"])?;
    outcome
}

async fn delete_and_wait(client: &Client, namespace: &str) -> Outcome {
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    eventually("the children's removal", || async {
        let mut left: Vec<String> = Vec::new();
        let all = ListParams::default();
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        left.extend(deployments.list(&all).await.map_err(failure)?.iter().map(ResourceExt::name_any));
        let replica_sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        left.extend(replica_sets.list(&all).await.map_err(failure)?.iter().map(ResourceExt::name_any));
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        left.extend(pods.list(&all).await.map_err(failure)?.iter().map(ResourceExt::name_any));
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        left.extend(services.list(&all).await.map_err(failure)?.iter().map(ResourceExt::name_any));
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let accounts = accounts.list(&all).await.map_err(failure)?;
        left.extend(accounts.iter().map(ResourceExt::name_any).filter(|name| name != "default"));
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(())
    })
    .await
}
