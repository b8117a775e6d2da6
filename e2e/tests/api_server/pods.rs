//! Pods as the Deployment's and the ReplicaSet's controllers make them: neither runs here.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{Failure, Outcome, ensure, eventually, failure};
use serde_json::json;

/// Waits until the Deployment `reviews` is to have so many pods.
pub async fn replicas_become(deployments: &Api<Deployment>, wanted: i32) -> Outcome {
    eventually("the number of pods", || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        let found = deployment.spec.and_then(|spec| spec.replicas).ok_or("replicas are not set")?;
        ensure!(found == wanted, "replicas are {found}, not {wanted}");
        Ok(())
    })
    .await
}

/// A pod of a service's current revision on a node, made from its Deployment's template.
pub async fn pod_on_a_node(client: &Client, namespace: &str, service: &str, name: &str) -> Result<Pod, Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let made = eventually("the Deployment", || async { deployments.get(service).await.map_err(failure) }).await?;
    let revision = json!({"deployment.kubernetes.io/revision": "1"});
    let noted = json!({"metadata": {"annotations": revision}});
    deployments.patch(service, &PatchParams::default(), &Patch::Merge(&noted)).await.map_err(failure)?;
    let template = json!(made.spec.unwrap_or_default().template);
    let labels = template["metadata"]["labels"].clone();
    let owned_by = |kind: &str, name: &str, uid: Option<&String>| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let replica_sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let current = format!("{service}-1");
    let replica_set = if let Some(replica_set) = replica_sets.get_opt(&current).await.map_err(failure)? {
        replica_set
    } else {
        let replica_set = json!({
            "metadata": {
                "name": current, "labels": labels, "annotations": revision,
                "ownerReferences": owned_by("Deployment", service, made.metadata.uid.as_ref()),
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        });
        let replica_set = serde_json::from_value(replica_set).map_err(failure)?;
        replica_sets.create(&PostParams::default(), &replica_set).await.map_err(failure)?
    };
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!("a-node");
    let owners = owned_by("ReplicaSet", &current, replica_set.metadata.uid.as_ref());
    let pod = json!({"metadata": {"name": name, "labels": labels, "ownerReferences": owners}, "spec": spec});
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).map_err(failure)?).await.map_err(failure)
}
