//! Pods that fail, for real: each cause is named in the failing part's own words, and healing takes
//! nothing but the fix. What fails before there is a pod is in `refused.rs`.

use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome, argocd,
    cluster::{in_node, kubectl, predict},
    condition, ensure, eventually, failure, namespace, ready, repository, service,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use super::serving::serving;

/// Waits until a service isn't ready for a reason, in words that are meant, and Argo CD shows it as it should.
pub async fn fails(client: &Client, namespace: &str, reason: &str, words: &[&str]) -> Outcome {
    eventually("the report", || async {
        let message = ready(client, namespace, "reviews", "False", reason).await?;
        for word in words {
            ensure!(message.contains(word), "{word} is missing in {message}");
        }
        argocd::agrees(&object(client, namespace).await?, reason)
    })
    .await
}

/// Waits until a service serves, and Argo CD shows it as healthy.
pub async fn heals(client: &Client, namespace: &str) -> Outcome {
    eventually("the healing", || async {
        ready(client, namespace, "reviews", "True", "Serving").await?;
        argocd::agrees(&object(client, namespace).await?, "Serving")
    })
    .await
}

async fn object(client: &Client, namespace: &str) -> Result<Value, Failure> {
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    serde_json::to_value(services.get("reviews").await.map_err(failure)?).map_err(failure)
}

/// A spec that fails, until another one takes its place.
async fn fails_and_heals(client: &Client, prefix: &str, spec: Value, reason: &str, words: &[&str]) -> Outcome {
    let namespace = namespace(client, prefix).await?;
    service(client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(client, &namespace, reason, words).await?;
    service(client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    heals(client, &namespace).await
}

/// A tag that doesn't exist: the registry's words, old replicas that serve, and healing.
pub async fn wrong_tag(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "tag", json!({"replicas": 1})).await?;
    let spec = json!({"replicas": 1, "image": {"tag": "no-such-tag"}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(&client, &namespace, "ImagePullFailed", &["sentiment-service:no-such-tag", "not found"]).await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let object = services.get("reviews").await.map_err(failure)?;
    for (type_, status) in [("Available", "True"), ("Stalled", "True"), ("Reconciling", "False")] {
        let found = condition(&object, type_).map(|condition| condition.status);
        ensure!(found.as_deref() == Some(status), "{type_} is {found:?}");
    }
    predict(&address, "I love this product")?;

    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    heals(&client, &namespace).await
}

/// An image that is pushed only later: the push is all that it takes.
pub async fn late_push(client: Client) -> Outcome {
    let namespace = namespace(&client, "push").await?;
    // Its own name each time: the registry of the node keeps what was pushed.
    let spec = json!({"replicas": 1, "image": {"tag": namespace}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(&client, &namespace, "ImagePullFailed", &[&namespace, "not found"]).await?;
    let push = repository().join("e2e/cluster/push-image.sh").display().to_string();
    in_node(&[&push, "sentiment-service:distroless", &format!("library/sentiment-service:{namespace}")])?;
    heals(&client, &namespace).await
}

/// The server's own sentence about a model directory.
pub async fn model_missing(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "env": [{"name": "MLOPS_ONNX_MODEL_PATH", "value": "/app/no-model"}]});
    fails_and_heals(&client, "model", spec, "ModelLoadFailed", &["/app/no-model"]).await
}

/// The server's own sentence about a variable.
pub async fn bad_setting(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "env": [{"name": "MLOPS_MAX_TEXT_LENGTH", "value": "many"}]});
    fails_and_heals(&client, "setting", spec, "CrashLooping", &["MLOPS_MAX_TEXT_LENGTH", "many"]).await
}

/// The kernel kills a server whose limit is less than its model.
pub async fn out_of_memory(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "resources": {"limits": {"memory": "24Mi"}}});
    fails_and_heals(&client, "memory", spec, "OutOfMemory", &["24Mi", "resources.limits.memory"]).await
}

/// The kubelet's sentence about a Secret; its creation is all that it takes.
pub async fn missing_secret(client: Client) -> Outcome {
    let namespace = namespace(&client, "secret").await?;
    let key = json!({"secretKeyRef": {"name": "late-secret", "key": "team"}});
    let spec = json!({"replicas": 1, "env": [{"name": "TEAM", "valueFrom": key}]});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(&client, &namespace, "DependencyMissing", &["late-secret", "not found"]).await?;
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "late-secret"}, "stringData": {"team": "search"}}))
            .map_err(failure)?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    secrets.create(&PostParams::default(), &secret).await.map_err(failure)?;
    heals(&client, &namespace).await
}

/// The scheduler's sentence about the nodes; a node that takes the pod is all that it takes.
pub async fn unschedulable(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "resources": {"requests": {"cpu": "500"}}});
    fails_and_heals(&client, "nodes", spec, "Unschedulable", &["Insufficient cpu"]).await?;

    kubectl(&["cordon", "node"])?;
    let namespace = namespace(&client, "cordoned").await?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    let outcome = fails(&client, &namespace, "Unschedulable", &["unschedulable"]).await;
    kubectl(&["uncordon", "node"])?;
    outcome?;
    heals(&client, &namespace).await
}

/// The quota's own sentence, for pods and for a child; more room is all that it takes.
pub async fn quota(client: Client) -> Outcome {
    let namespace = namespace(&client, "quota").await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
    let hard = |pods: &str, services: &str| -> Result<ResourceQuota, Failure> {
        let spec = json!({"hard": {"count/pods": pods, "count/services": services}});
        serde_json::from_value(json!({"metadata": {"name": "team"}, "spec": spec})).map_err(failure)
    };
    quotas.create(&PostParams::default(), &hard("0", "0")?).await.map_err(failure)?;
    // Until it has been counted, a quota refuses all that it limits, in other words.
    eventually("the quota's first count", || async {
        let quota = quotas.get("team").await.map_err(failure)?;
        ensure!(quota.status.is_some_and(|status| status.used.is_some()), "it isn't counted");
        Ok(())
    })
    .await?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    fails(&client, &namespace, "QuotaExceeded", &["exceeded quota: team", "services"]).await?;

    let merge = |quota: ResourceQuota| Patch::Merge(quota);
    quotas.patch("team", &PatchParams::default(), &merge(hard("0", "1")?)).await.map_err(failure)?;
    fails(&client, &namespace, "QuotaExceeded", &["exceeded quota: team", "pods"]).await?;

    quotas.patch("team", &PatchParams::default(), &merge(hard("2", "1")?)).await.map_err(failure)?;
    heals(&client, &namespace).await
}
