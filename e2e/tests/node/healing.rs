//! What stays as it is, comes back, and goes on serving.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use kubesentiment_e2e::{
    Outcome,
    cluster::{kubectl, predict},
    ensure, eventually, failure, ready, resource_versions, within,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::json;

use super::{
    failing::fails,
    serving::{address, serving},
};

/// The promise of the README.
const REPAIR: Duration = Duration::from_secs(2);

/// A deleted or edited child is back within two seconds, and the service answers again.
pub async fn deleted_children(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "healing", json!({"replicas": 1})).await?;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);

    let uid = services.get("reviews").await.map_err(failure)?.uid();
    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    within(REPAIR, "the Service's return", || async {
        let uid_now = services.get("reviews").await.map_err(failure)?.uid();
        ensure!(uid_now != uid, "it is the old one");
        Ok(())
    })
    .await?;

    let uid = deployments.get("reviews").await.map_err(failure)?.uid();
    deployments.delete("reviews", &DeleteParams::background()).await.map_err(failure)?;
    within(REPAIR, "the Deployment's return", || async {
        let uid_now = deployments.get("reviews").await.map_err(failure)?.uid();
        ensure!(uid_now != uid, "it is the old one");
        Ok(())
    })
    .await?;

    let edit = json!({"spec": {"replicas": 3}});
    deployments.patch("reviews", &PatchParams::default(), &Patch::Merge(&edit)).await.map_err(failure)?;
    within(REPAIR, "the repair of replicas", || async {
        let spec = deployments.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
        ensure!(spec.replicas == Some(1), "replicas are {:?}", spec.replicas);
        Ok(())
    })
    .await?;

    eventually("serving again", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    let address = address(&client, &namespace).await?;
    eventually("an answer", || async { predict(&address, "I love this product").map(drop) }).await
}

/// With nothing changing, no object's resourceVersion moves for a minute.
pub async fn quiet_minute(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "quiet", json!({"replicas": 1})).await?;
    // The Deployment's controller has the last word a moment after the pod is ready.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = resource_versions(&client, &namespace).await?;
    ensure!(before.len() >= 6, "only {before:?} exist");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let after = resource_versions(&client, &namespace).await?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

/// `kubectl scale` and `kubectl wait` work, and `suspend` runs nothing until it is lifted.
pub async fn scale_and_suspend(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "suspend", json!({"replicas": 1})).await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    kubectl(&["-n", &namespace, "scale", "ssvc", "reviews", "--replicas=2"])?;
    eventually("two pods", || async {
        let message = ready(&client, &namespace, "reviews", "True", "Serving").await?;
        ensure!(message == "2 of 2 replicas serve", "{message}");
        Ok(())
    })
    .await?;
    kubectl(&["-n", &namespace, "wait", "--for=condition=Ready", "ssvc/reviews", "--timeout=5s"])?;

    let suspend = |on: bool| json!({"spec": {"suspend": on}});
    services.patch("reviews", &PatchParams::default(), &Patch::Merge(&suspend(true))).await.map_err(failure)?;
    eventually("suspension", || async {
        let message = ready(&client, &namespace, "reviews", "False", "Suspended").await?;
        ensure!(message == "spec.suspend is true: no pod runs", "{message}");
        let left = pods.list(&ListParams::default()).await.map_err(failure)?.items.len();
        ensure!(left == 0, "{left} pods are left");
        Ok(())
    })
    .await?;
    fails(&client, &namespace, "Suspended", &["spec.suspend is true"]).await?;
    services.patch("reviews", &PatchParams::default(), &Patch::Merge(&suspend(false))).await.map_err(failure)?;
    eventually("serving again", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    Ok(())
}
