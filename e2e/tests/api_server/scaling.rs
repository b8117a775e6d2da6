//! A number of pods that is left to others.

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use kubesentiment_e2e::{Outcome, ensure, eventually, failure, namespace, ready, service};
use serde_json::{Value, json};

use super::pods::replicas_become;

/// Something else scales the Deployment: it finds the pods that ran, may take all of them, and nothing of ours puts a
/// number back.
pub async fn left_to_others(client: Client) -> Outcome {
    let namespace = namespace(&client, "external").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    let becomes = |wanted: i32| replicas_become(&deployments, wanted);
    let apply = |spec: Value| service(&client, &namespace, "reviews", spec);
    let scale = |to: i32| {
        let deployments = deployments.clone();
        async move {
            let scaler = PatchParams { field_manager: Some("keda".into()), ..PatchParams::default() };
            let patch = json!({"spec": {"replicas": to}});
            deployments.patch_scale("reviews", &scaler, &Patch::Merge(&patch)).await.map_err(failure)
        }
    };

    apply(json!({"replicas": 5})).await.map_err(failure)?;
    becomes(5).await?;
    apply(json!({"autoscaling": {"external": {}}})).await.map_err(failure)?;
    eventually("the handover", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    becomes(5).await?;
    let ours = autoscalers.get_opt("reviews").await.map_err(failure)?;
    ensure!(ours.is_none(), "there is an autoscaler of ours");

    scale(0).await?;
    let message = eventually("the state", || ready(&client, &namespace, "reviews", "False", "Suspended")).await?;
    ensure!(message.contains("what scales the Deployment wants no pod"), "the message is {message}");
    // A write of ours leaves the number alone.
    apply(json!({"autoscaling": {"external": {}}, "server": {"logLevel": "warn"}})).await.map_err(failure)?;
    eventually("the change of the template", || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        ensure!(json!(deployment.spec).to_string().contains("MLOPS_LOG_LEVEL"), "it is not there");
        Ok(())
    })
    .await?;
    becomes(0).await?;
    scale(3).await?;
    eventually("the rollout", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;

    // At zero an autoscaler rests, so what was suspended comes back with one pod.
    apply(json!({"autoscaling": {"external": {}}, "suspend": true})).await.map_err(failure)?;
    becomes(0).await?;
    apply(json!({"autoscaling": {"external": {}}})).await.map_err(failure)?;
    becomes(1).await
}
