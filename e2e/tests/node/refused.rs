//! What fails before there is a pod: a stored spec that breaks a rule, and children that can't be applied.

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Service},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{Outcome, ensure, eventually, failure, namespace, service};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use super::{
    failing::{fails, heals},
    serving::serving,
};

const CRD: &str = "sentimentservices.kubesentiment.io";
/// Of `spec.replicas` in the only version of the CRD.
const MAXIMUM: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/maximum";

/// A spec that was stored before a rule existed is refused by the operator in the rule's words.
pub async fn stored_before_the_rule(client: Client) -> Outcome {
    let namespace = namespace(&client, "invalid").await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let maximum = serde_json::to_value(crds.get(CRD).await.map_err(failure)?).map_err(failure)?;
    let maximum = maximum.pointer(MAXIMUM).cloned().ok_or("spec.replicas has no maximum")?;
    set_maximum(&crds, &json!(5000)).await?;
    // The API server takes a moment to take up the new schema.
    let stored = eventually("the storing", || async {
        service(&client, &namespace, "reviews", json!({"replicas": 2000})).await.map(drop).map_err(failure)
    })
    .await;
    set_maximum(&crds, &maximum).await?;
    stored?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let other: SentimentService = serde_json::from_value(json!({
        "apiVersion": SentimentService::api_version(&()),
        "kind": SentimentService::kind(&()),
        "metadata": {"name": "other"},
        "spec": {"replicas": 2000},
    }))
    .map_err(failure)?;
    eventually("the rule's return", || async {
        match services.create(&dry, &other).await {
            Err(kube::Error::Api(answer)) if answer.code == 422 => Ok(()),
            other => Err(format!("{:?}", other.map(|service| service.spec))),
        }
    })
    .await?;
    fails(&client, &namespace, "InvalidSpec", &["spec.replicas is 2000", "from 0 to 1000"]).await?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    heals(&client, &namespace).await
}

async fn set_maximum(crds: &Api<CustomResourceDefinition>, maximum: &Value) -> Outcome {
    let patch = serde_json::from_value(json!([{"op": "replace", "path": MAXIMUM, "value": maximum}]));
    let patch: Patch<Value> = Patch::Json(patch.map_err(failure)?);
    crds.patch(CRD, &PatchParams::default(), &patch).await.map(drop).map_err(failure)
}

/// Another tool that applies a field of a child is named, and not fought with.
pub async fn another_manager(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "conflict", json!({"replicas": 1})).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let with = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews"}, "spec": spec});
    let other = PatchParams::apply("another-tool").force();
    let applied = with(json!({"minReadySeconds": 3, "replicas": 2}));
    deployments.patch("reviews", &other, &Patch::Apply(&applied)).await.map_err(failure)?;
    fails(&client, &namespace, "ApplyFailed", &["Deployment reviews", ".spec.replicas", "another-tool"]).await?;
    let replicas = deployments.get("reviews").await.map_err(failure)?.spec.and_then(|spec| spec.replicas);
    ensure!(replicas == Some(2), "replicas are {replicas:?}: the operator fights");

    let applied = with(json!({"minReadySeconds": 3}));
    deployments.patch("reviews", &other, &Patch::Apply(&applied)).await.map_err(failure)?;
    heals(&client, &namespace).await?;
    let spec = deployments.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
    ensure!(
        (spec.replicas, spec.min_ready_seconds) == (Some(1), Some(3)),
        "replicas are {:?}, minReadySeconds {:?}",
        spec.replicas,
        spec.min_ready_seconds
    );
    Ok(())
}

/// An object that was there first is left alone and named; its removal is all that it takes.
pub async fn name_taken(client: Client) -> Outcome {
    let namespace = namespace(&client, "taken").await?;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let foreign =
        json!({"metadata": {"name": "reviews"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "shop"}}});
    let foreign: Service = serde_json::from_value(foreign).map_err(failure)?;
    let before = services.create(&PostParams::default(), &foreign).await.map_err(failure)?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    fails(&client, &namespace, "ApplyFailed", &["Service reviews exists already"]).await?;
    let after = services.get("reviews").await.map_err(failure)?;
    ensure!(before.resource_version() == after.resource_version(), "it was written to");
    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    heals(&client, &namespace).await
}
