//! What the API server refuses by the rules of the CRD, and what it must not refuse.

use std::{ffi::OsStr, fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use kubesentiment_e2e::{Failure, Outcome, ensure, eventually, failure, namespace, ready, repository, service};
use kubesentiment_operator::api::{self, SentimentService};
use serde::Deserialize;
use serde_json::{Value, json};

use super::refused;

/// Creates a service as `kubectl create` does: an unknown field is refused, not dropped.
async fn create(client: &Client, namespace: &str, name: &str, spec: &Value) -> kube::Result<Value> {
    let object = json!({
        "apiVersion": "kubesentiment.io/v1alpha1",
        "kind": "SentimentService",
        "metadata": {"name": name},
        "spec": spec,
    });
    let path =
        format!("/apis/kubesentiment.io/v1alpha1/namespaces/{namespace}/sentimentservices?fieldValidation=Strict");
    let request = http::Request::post(path).header("content-type", "application/json");
    client.request(request.body(object.to_string().into_bytes()).map_err(kube::Error::HttpError)?).await
}

/// Every case is refused, and by the rule that is meant.
pub async fn bad_specs(client: Client) -> Outcome {
    let namespace = namespace(&client, "refusing").await?;
    let mut wrong = Vec::new();
    for (spec, sentence) in refused::cases() {
        match create(&client, &namespace, "bad", &spec).await {
            Ok(_) => wrong.push(format!("{spec} was accepted")),
            Err(error) if !error.to_string().contains(sentence) => wrong.push(format!("{spec}: {error}")),
            Err(_) => {}
        }
    }
    match create(&client, &namespace, "1st", &json!({})).await {
        Err(error) if error.to_string().contains("metadata.name becomes the name of the Service") => {}
        other => wrong.push(format!("the name 1st: {other:?}")),
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Every sample that we ship is accepted, and so is every example in the README and the pages that aren't generated.
pub async fn samples(client: Client) -> Outcome {
    let namespace = namespace(&client, "samples").await?;
    for (folder, least) in [("config/samples", 3), (".", 1), ("docs", 20)] {
        let samples = read_samples(&repository().join(folder))?;
        for (path, object) in &samples {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let applied = service(&client, &namespace, name, object["spec"].clone()).await;
            applied.map_err(|error| format!("{path}, {name}: {error}"))?;
        }
        ensure!(samples.len() >= least, "only {} samples were found in {folder}", samples.len());
    }
    Ok(())
}

/// Path and content of each `SentimentService` in the YAML files of a folder and in the Markdown files' blocks.
fn read_samples(folder: &Path) -> Result<Vec<(String, Value)>, Failure> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(folder).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        let text = || fs::read_to_string(&path).map_err(failure);
        let blocks = match path.extension().and_then(OsStr::to_str) {
            Some("yaml") => vec![text()?],
            Some("md") => text()?
                .split("```yaml\n")
                .skip(1)
                .filter_map(|rest| rest.split("```").next().map(str::to_owned))
                .collect(),
            _ => continue,
        };
        for document in blocks.iter().flat_map(|block| serde_yaml::Deserializer::from_str(block)) {
            let object = Value::deserialize(document).map_err(|error| format!("{}: {error}", path.display()))?;
            if object["kind"] == "SentimentService" {
                samples.push((path.display().to_string(), object));
            }
        }
    }
    Ok(samples)
}

/// Until an operator has seen a service, its status says that nobody has.
pub async fn unseen(client: Client) -> Outcome {
    let namespace = namespace(&client, "unseen").await?;
    let services: Api<SentimentService> = Api::namespaced(client, &namespace);
    let object = json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
        "metadata": {"name": "reviews"}, "spec": {},
    });
    let object: SentimentService = serde_json::from_value(object).map_err(failure)?;
    // What is not stored, no operator sees.
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let status = services.create(&dry, &object).await.map_err(failure)?.status.ok_or("there is no status")?;
    ensure!(status.observed_generation == Some(-1) && status.is_unreported(), "the status is {status:?}");
    Ok(())
}

/// An object that was stored under an older schema is reported, and stops no other.
pub async fn unreadable_object(client: Client) -> Outcome {
    let namespace = namespace(&client, "unreadable").await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut loose = api::crd();
    for version in &mut loose.spec.versions {
        version.schema = serde_json::from_value(json!({"openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        }}))
        .map_err(failure)?;
    }
    let force = PatchParams::apply("test").force();
    let name = SentimentService::crd_name();
    crds.patch(name, &force, &Patch::Apply(&loose)).await.map_err(failure)?;

    // Typed, the bad spec could not even be sent.
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kubesentiment.io", "v1alpha1", "SentimentService"),
        "sentimentservices",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let bad = json!({
        "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
        "metadata": {"name": "bad"}, "spec": {"server": {"threads": "two"}},
    });
    eventually("the loose schema", || async {
        api.patch("bad", &force, &Patch::Apply(&bad)).await.map(drop).map_err(failure)
    })
    .await?;
    let message = eventually("the report", || async {
        let object = api.get_status("bad").await.map_err(failure)?;
        let ready = object.data.pointer("/status/conditions/0").cloned().unwrap_or_default();
        ensure!(ready["reason"] == "InvalidSpec", "Ready is {ready}");
        Ok(ready["message"].to_string())
    })
    .await?;
    crds.patch(name, &force, &Patch::Apply(&api::crd())).await.map_err(failure)?;
    eventually("the strict schema", || async {
        let refused = service(&client, &namespace, "other", json!({"replicas": -1})).await;
        ensure!(refused.is_err(), "replicas: -1 is accepted");
        Ok(())
    })
    .await?;
    service(&client, &namespace, "good", json!({})).await.map_err(failure)?;
    eventually("the good service", || ready(&client, &namespace, "good", "False", "RollingOut")).await?;
    api.delete("bad", &kube::api::DeleteParams::default()).await.map_err(failure)?;
    ensure!(message.contains("two") && message.contains("apply it again"), "the message is {message}");
    Ok(())
}
