//! How models come to the pods: the volumes, the fetcher and the claim as a real API server takes them.

use std::sync::Arc;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use kubesentiment_e2e::{
    Failure, Outcome, api_server::ApiServer, ensure, eventually, failure, namespace, ready, service,
};
use kubesentiment_operator::{
    api::SentimentService, controller::Operator, metrics::Metrics, runtime::client::connect, watches::Scope,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const IMAGE: &str = "registry.example.com/models/reviews:3";

/// The pod of the template of `reviews`, as JSON.
async fn pod(client: &Client, namespace: &str) -> Result<Value, Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments.get("reviews").await.map_err(failure)?;
    Ok(json!(deployment.spec.unwrap_or_default().template.spec))
}

/// The volume `model` of a pod.
fn volume(pod: &Value) -> Value {
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    volumes.into_iter().find(|volume| volume["name"] == "model").cloned().unwrap_or_default()
}

/// How the status says that the model comes to the pods.
async fn delivery(client: &Client, namespace: &str) -> Result<String, Failure> {
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    let model = services.get("reviews").await.map_err(failure)?.status.unwrap_or_default().model;
    let delivery = model.and_then(|model| model.delivery).ok_or("the status has no delivery")?;
    Ok(format!("{delivery:?}"))
}

/// Each source makes pods that the API server takes; one after the other, on the same Deployment.
pub async fn sources(client: Client) -> Outcome {
    let namespace = namespace(&client, "sources").await?;
    for (source, delivered, volume_has) in [
        (json!({"image": {"reference": IMAGE, "pullPolicy": "Always"}}), "ImageVolume", "image"),
        (json!({"persistentVolumeClaim": {"claimName": "models"}}), "Claim", "persistentVolumeClaim"),
        (json!({"huggingFace": {"repository": "a/b", "tokenSecretRef": {"name": "hub"}}}), "Fetched", "emptyDir"),
        (json!({"s3": {"bucket": "abc", "credentialsSecretRef": {"name": "s3"}}}), "Fetched", "emptyDir"),
        (json!({"gcs": {"bucket": "abc", "credentialsSecretRef": {"name": "gcs"}}}), "Fetched", "emptyDir"),
        (
            json!({"azureBlob": {"account": "acc", "container": "abc", "credentialsSecretRef": {"name": "azure"}}}),
            "Fetched",
            "emptyDir",
        ),
        (
            json!({"http": {"url": "https://models.example.com/a.zip?v=1", "headersSecretRef": {"name": "headers"}}}),
            "Fetched",
            "emptyDir",
        ),
        (json!({"builtin": {}}), "Builtin", ""),
    ] {
        let spec = json!({"model": {"source": source}});
        service(&client, &namespace, "reviews", spec).await.map_err(|error| format!("{source}: {error}"))?;
        eventually(&format!("the pods of {source}"), || async {
            ready(&client, &namespace, "reviews", "False", "RollingOut").await?;
            let found = delivery(&client, &namespace).await?;
            ensure!(found == delivered, "it is delivered by {found}");
            let pod = pod(&client, &namespace).await?;
            let fetches = pod["initContainers"][0]["name"] == "fetch-model";
            ensure!(fetches == (delivered == "Fetched"), "the init containers are {}", pod["initContainers"]);
            let volume = volume(&pod);
            let is_right = if volume_has.is_empty() { volume.is_null() } else { !volume[volume_has].is_null() };
            ensure!(is_right, "the volume is {volume}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn cached(cache: &Value) -> Value {
    json!({"replicas": 1, "model": {"source": {"s3": {"bucket": "models"}}, "cache": cache}})
}

async fn size(claims: &Api<PersistentVolumeClaim>) -> Result<String, Failure> {
    let claim = json!(claims.get("reviews-model").await.map_err(failure)?);
    Ok(claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default().to_owned())
}

/// Takes the mark off by which a claim waits for its pods: the controller that does it isn't there.
async fn let_go(claims: &Api<PersistentVolumeClaim>) -> Outcome {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    match claims.patch("reviews-model", &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failure(error)),
    }
}

/// Has a claim be bound, as its controller does: only what is bound may grow.
async fn bind(claims: &Api<PersistentVolumeClaim>) -> Outcome {
    let volume = Patch::Merge(json!({"spec": {"volumeName": "a-volume"}}));
    claims.patch("reviews-model", &PatchParams::default(), &volume).await.map_err(failure)?;
    let bound = Patch::Merge(json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}));
    claims.patch_status("reviews-model", &PatchParams::default(), &bound).await.map(drop).map_err(failure)
}

/// A claim comes with its field, keeps the size that somebody else has given it, and goes with the field.
pub async fn claim(client: Client) -> Outcome {
    let namespace = namespace(&client, "claim").await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "growing"},
        "provisioner": "example.com/none", "allowVolumeExpansion": true,
    });
    let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(client.clone());
    classes.patch("growing", &PatchParams::apply("test"), &Patch::Apply(&class)).await.map_err(failure)?;

    let asked = |size: &str| cached(&json!({"size": size, "storageClassName": "growing"}));
    service(&client, &namespace, "reviews", asked("1Gi")).await.map_err(failure)?;
    eventually("the claim", || size(&claims)).await?;
    eventually("the pods", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    bind(&claims).await?;

    let larger = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}}));
    let autoresizer = PatchParams { field_manager: Some("an-autoresizer".to_owned()), ..PatchParams::default() };
    claims.patch("reviews-model", &autoresizer, &larger).await.map_err(failure)?;
    // Whatever is done about it is done by then.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    ensure!(size(&claims).await? == "3Gi", "the size was put back");
    let settled = claims.get("reviews-model").await.map_err(failure)?.resource_version();
    // A change of something else leaves it alone, too.
    let mut other = asked("2Gi");
    other["server"] = json!({"logLevel": "warn"});
    service(&client, &namespace, "reviews", other).await.map_err(failure)?;
    eventually("the other change", || async {
        let pod = pod(&client, &namespace).await?;
        ensure!(pod.to_string().contains("MLOPS_LOG_LEVEL"), "it is not there");
        Ok(())
    })
    .await?;
    eventually("the pods", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    let after = claims.get("reviews-model").await.map_err(failure)?;
    ensure!(after.resource_version() == settled, "it was written for a size that it has");
    service(&client, &namespace, "reviews", asked("5Gi")).await.map_err(failure)?;
    eventually("more", || async {
        let size = size(&claims).await?;
        ensure!(size == "5Gi", "it is {size}");
        Ok(())
    })
    .await?;

    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("its end", || async {
        let claim = claims.get_opt("reviews-model").await.map_err(failure)?;
        ensure!(claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()), "it is still there");
        Ok(())
    })
    .await?;
    let_go(&claims).await
}

/// What can't be changed of a claim is refused in the API server's words, while all goes on as it was; without the claim
/// the new one is made.
pub async fn immutable_claim(client: Client) -> Outcome {
    let namespace = namespace(&client, "immutable").await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let asked = |class: &str| cached(&json!({"size": "1Gi", "storageClassName": class}));
    service(&client, &namespace, "reviews", asked("one")).await.map_err(failure)?;
    eventually("the claim", || size(&claims)).await?;
    service(&client, &namespace, "reviews", asked("another")).await.map_err(failure)?;
    let message = eventually("the refusal", || ready(&client, &namespace, "reviews", "False", "ApplyFailed")).await?;
    ensure!(
        message.starts_with("PersistentVolumeClaim reviews-model was refused") && message.contains("spec is immutable"),
        "the message is {message}"
    );
    claims.delete("reviews-model", &DeleteParams::default()).await.map_err(failure)?;
    let_go(&claims).await?;
    eventually("the healing", || async {
        ready(&client, &namespace, "reviews", "False", "RollingOut").await?;
        let claim = claims.get("reviews-model").await.map_err(failure)?;
        let class = claim.spec.and_then(|spec| spec.storage_class_name);
        ensure!(class.as_deref() == Some("another"), "the class is {class:?}");
        Ok(())
    })
    .await?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("its end", || async {
        let claim = claims.get_opt("reviews-model").await.map_err(failure)?;
        ensure!(claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()), "it is still there");
        Ok(())
    })
    .await?;
    let_go(&claims).await
}

/// An API server as of Kubernetes 1.34, which has image volumes switched off. What it answers is learnt once.
pub async fn without_image_volumes() -> Outcome {
    let server = ApiServer::start_with(&["--emulated-version=1.34", "--feature-gates=ImageVolume=false"]).await?;
    crate::install_crd(&server.client).await?;
    let metrics = Metrics::default();
    let own = connect(server.config.clone(), &metrics.api_requests).map_err(failure)?;
    let operator = Operator::new(own, crate::IMAGE.parse().map_err(failure)?, metrics.clone());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let running = tokio::spawn(async move { Arc::new(operator).run(&[Scope::Cluster], 2, || (), stopping).await });

    let client = &server.client;
    let image = |reference: &str| json!({"model": {"source": {"image": {"reference": reference, "pullSecrets": [{"name": "models"}]}}}});
    for name in ["first", "second"] {
        let namespace = namespace(client, name).await?;
        service(client, &namespace, "reviews", image(IMAGE)).await.map_err(failure)?;
        eventually("the pods", || async {
            ready(client, &namespace, "reviews", "False", "RollingOut").await?;
            let found = delivery(client, &namespace).await?;
            ensure!(found == "Fetched", "it is delivered by {found}");
            let pod = pod(client, &namespace).await?;
            let args = pod["initContainers"][0]["args"].to_string();
            ensure!(args.contains(&format!("\"oci\",\"{IMAGE}\"")), "the arguments are {args}");
            ensure!(args.contains("--docker-config"), "the arguments are {args}");
            Ok(())
        })
        .await?;
        // From what the node mounts for another model to what is fetched: the same Deployment, written over.
        service(client, &namespace, "reviews", json!({"model": {"source": {"builtin": {}}}})).await.map_err(failure)?;
        eventually("the image's own", || async {
            let pod = pod(client, &namespace).await?;
            ensure!(volume(&pod).is_null() && pod["initContainers"].is_null(), "the pod is {pod}");
            Ok(())
        })
        .await?;
    }
    stop.cancel();
    running.await.map_err(failure)
}
