//! Making and reading the objects that the tests are about.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{Namespace, Pod, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use crate::{Failure, ensure, failure};

/// Label of the namespaces that tests make.
const OF_A_TEST: &str = "kubesentiment.io/test";

/// Deletes the namespaces that tests have made, so that their pods make room.
pub async fn sweep(client: &Client) -> Result<(), Failure> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in namespaces.list(&ListParams::default().labels(OF_A_TEST)).await.map_err(failure)? {
        match namespaces.delete(&namespace.name_any(), &DeleteParams::default()).await {
            // An earlier deletion has come to its end meanwhile.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            deleted => drop(deleted.map_err(failure)?),
        }
    }
    Ok(())
}

/// Makes a namespace with a name of its own that enforces the `restricted` pod security standard.
pub async fn namespace(client: &Client, prefix: &str) -> Result<String, Failure> {
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": {
            "generateName": format!("{prefix}-"),
            "labels": {"pod-security.kubernetes.io/enforce": "restricted", OF_A_TEST: "true"},
        },
    }))
    .map_err(failure)?;
    let made = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.map_err(failure)?;
    Ok(made.name_any())
}

/// Applies a `SentimentService` with a spec, as a user does.
pub async fn service(client: &Client, namespace: &str, name: &str, spec: Value) -> kube::Result<SentimentService> {
    let api: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    let object = json!({
        "apiVersion": SentimentService::api_version(&()),
        "kind": SentimentService::kind(&()),
        "metadata": {"name": name},
        "spec": spec,
    });
    // Strict, as kubectl is: a field with a typing error is refused, not dropped.
    let params =
        PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..PatchParams::apply("test") };
    api.patch(name, &params.force(), &Patch::Apply(&object)).await
}

/// A condition of a service by type.
#[must_use]
pub fn condition(service: &SentimentService, type_: &str) -> Option<Condition> {
    let conditions = service.status.as_ref()?.conditions.iter();
    conditions.into_iter().find(|condition| condition.type_ == type_).cloned()
}

/// Checks `Ready` of the current generation, and returns its message.
pub async fn ready(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &str,
    reason: &str,
) -> Result<String, Failure> {
    let api: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    let service = api.get(name).await.map_err(failure)?;
    let Some(ready) = condition(&service, "Ready") else { return Err("there is no Ready condition".to_owned()) };
    ensure!(ready.observed_generation == service.metadata.generation, "the status is of an older generation");
    ensure!(
        (ready.status.as_str(), ready.reason.as_str()) == (status, reason),
        "Ready is {} {}: {}",
        ready.status,
        ready.reason,
        ready.message
    );
    Ok(ready.message)
}

/// `kind/name resourceVersion` of all that belongs to a service, to see whether anything moves.
pub async fn resource_versions(client: &Client, namespace: &str) -> Result<Vec<String>, Failure> {
    let mut versions = list::<SentimentService>(client, namespace).await?;
    versions.extend(list::<ServiceAccount>(client, namespace).await?);
    versions.extend(list::<Service>(client, namespace).await?);
    versions.extend(list::<Deployment>(client, namespace).await?);
    versions.extend(list::<NetworkPolicy>(client, namespace).await?);
    versions.extend(list::<PodDisruptionBudget>(client, namespace).await?);
    versions.extend(list::<ReplicaSet>(client, namespace).await?);
    versions.extend(list::<Pod>(client, namespace).await?);
    Ok(versions)
}

async fn list<K>(client: &Client, namespace: &str) -> Result<Vec<String>, Failure>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let objects = api.list(&ListParams::default()).await.map_err(failure)?;
    let version = |object: &K| {
        format!("{}/{} {}", K::kind(&()), object.name_any(), object.resource_version().unwrap_or_default())
    };
    Ok(objects.iter().map(version).collect())
}

/// The name of the first object, for kinds of which there should be one.
pub fn name_of<K: Resource>(objects: &[K]) -> Result<String, Failure> {
    match objects {
        [one] => Ok(one.name_any()),
        other => Err(format!("{} objects, not one", other.len())),
    }
}
