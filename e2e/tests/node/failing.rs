//! Failures that are provoked for real: each is named in the failing part's own words, and
//! healing takes nothing but the fix.

use kube::{Api, Client};
use kubesentiment_e2e::{Outcome, cluster::predict, condition, ensure, eventually, failure, namespace, ready, service};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use super::serving::serving;

/// Waits until a spec fails for a reason, in words that are meant, and then until another heals it.
async fn fails_and_heals(client: &Client, prefix: &str, spec: Value, reason: &str, words: &[&str]) -> Outcome {
    let namespace = namespace(client, prefix).await?;
    service(client, &namespace, "reviews", spec).await.map_err(failure)?;
    eventually("the report", || async {
        let message = ready(client, &namespace, "reviews", "False", reason).await?;
        for word in words {
            ensure!(message.contains(word), "{word} is missing in {message}");
        }
        Ok(())
    })
    .await?;
    service(client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the healing", || ready(client, &namespace, "reviews", "True", "Serving")).await?;
    Ok(())
}

/// A tag that doesn't exist: the registry's words, old replicas that serve, and healing.
pub async fn wrong_tag(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "tag", json!({"replicas": 1})).await?;
    let spec = json!({"replicas": 1, "image": {"tag": "no-such-tag"}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    let message =
        eventually("the report", || ready(&client, &namespace, "reviews", "False", "ImagePullFailed")).await?;
    ensure!(message.contains("sentiment-service:no-such-tag") && message.contains("not found"), "{message}");
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let object = services.get("reviews").await.map_err(failure)?;
    for (type_, status) in [("Available", "True"), ("Stalled", "True"), ("Reconciling", "False")] {
        let found = condition(&object, type_).map(|condition| condition.status);
        ensure!(found.as_deref() == Some(status), "{type_} is {found:?}");
    }
    predict(&address, "I love this product")?;

    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the healing", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    Ok(())
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

/// The kubelet's sentence about a Secret.
pub async fn missing_secret(client: Client) -> Outcome {
    let key = json!({"secretKeyRef": {"name": "no-secret", "key": "k"}});
    let spec = json!({"replicas": 1, "env": [{"name": "MLOPS_API_KEY", "valueFrom": key}]});
    fails_and_heals(&client, "secret", spec, "DependencyMissing", &["no-secret", "not found"]).await
}

/// The scheduler's sentence about the nodes.
pub async fn unschedulable(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "resources": {"requests": {"cpu": "500"}}});
    fails_and_heals(&client, "nodes", spec, "Unschedulable", &["Insufficient cpu"]).await
}
