//! The children that a spec may ask for: made when it does, gone when it doesn't, and handed over
//! without a gap.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use kubesentiment_e2e::{Failure, Outcome, ensure, eventually, failure, namespace, ready, service, within};
use kubesentiment_operator::build::{
    CONFIG_HASH,
    external::{GrpcRoute, HttpRoute, PodMonitor},
};
use serde_json::{Value, json};

use super::pods::replicas_become;

/// Longer than the pause of a watch whose API isn't installed.
const DISCOVERY: Duration = Duration::from_secs(45);

async fn exists<K>(api: &Api<K>) -> Result<bool, Failure>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.get_metadata_opt("reviews").await.map(|object| object.is_some()).map_err(failure)
}

/// Each optional child comes with its field and goes with it; the Deployment stays the same object.
pub async fn prune(client: Client) -> Outcome {
    let namespace = namespace(&client, "prune").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &namespace);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    let children = || async {
        Ok::<_, Failure>([
            exists(&accounts).await?,
            exists(&policies).await?,
            exists(&budgets).await?,
            exists(&autoscalers).await?,
        ])
    };
    let apply = |spec: Value| service(&client, &namespace, "reviews", spec);

    apply(json!({"autoscaling": {"maxReplicas": 4}})).await.map_err(failure)?;
    eventually("all children", || async {
        let found = children().await?;
        ensure!(found == [true; 4], "account, policy, budget, autoscaler: {found:?}");
        Ok(())
    })
    .await?;
    let uid = deployments.get("reviews").await.map_err(failure)?.uid();

    let bare = json!({"replicas": 1, "serviceAccountName": "mine", "networkPolicy": {"enabled": false}});
    apply(bare).await.map_err(failure)?;
    eventually("their removal", || async {
        let found = children().await?;
        ensure!(found == [false; 4], "account, policy, budget, autoscaler: {found:?}");
        Ok(())
    })
    .await?;

    // One of the same name that somebody else made is no child of ours.
    let foreign = json!({
        "metadata": {"name": "reviews", "labels": {
            "app.kubernetes.io/managed-by": "kubesentiment-operator", "app.kubernetes.io/instance": "reviews",
        }},
        "spec": {"podSelector": {}},
    });
    let foreign: NetworkPolicy = serde_json::from_value(foreign).map_err(failure)?;
    policies.create(&PostParams::default(), &foreign).await.map_err(failure)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(exists(&policies).await?, "the policy of somebody else was deleted");
    policies.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;

    apply(json!({})).await.map_err(failure)?;
    eventually("their return", || async {
        let found = children().await?;
        ensure!(found == [true, true, true, false], "account, policy, budget, autoscaler: {found:?}");
        Ok(())
    })
    .await?;
    let same = deployments.get("reviews").await.map_err(failure)?.uid() == uid;
    ensure!(same, "the Deployment was replaced");
    Ok(())
}

/// The number of pods in the Deployment's spec, at every version of it that a watch sees.
async fn watch_replicas(deployments: Api<Deployment>, seen: std::sync::Arc<std::sync::Mutex<Vec<i32>>>) {
    let config = watcher::Config::default().fields("metadata.name=reviews");
    let events = watcher(deployments, config).default_backoff().applied_objects();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        if let (Ok(deployment), Ok(mut seen)) = (event, seen.lock()) {
            seen.push(deployment.spec.and_then(|spec| spec.replicas).unwrap_or(-1));
        }
    }
}

/// From a number to an autoscaler and back, the number of pods never drops on the way.
pub async fn handover(client: Client) -> Outcome {
    let namespace = namespace(&client, "handover").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    let becomes = |wanted: i32| replicas_become(&deployments, wanted);
    let apply = |spec: Value| service(&client, &namespace, "reviews", spec);

    apply(json!({"replicas": 5})).await.map_err(failure)?;
    becomes(5).await?;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch_replicas(deployments.clone(), seen.clone()));

    let autoscaled = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}});
    apply(autoscaled.clone()).await.map_err(failure)?;
    eventually("the autoscaler", || async {
        ensure!(exists(&autoscalers).await?, "there is none");
        Ok(())
    })
    .await?;
    becomes(5).await?;

    // What the autoscaler's controller does.
    let scaled = json!({"spec": {"replicas": 7}});
    let controller = PatchParams { field_manager: Some("kube-controller-manager".into()), ..PatchParams::default() };
    deployments.patch_scale("reviews", &controller, &Patch::Merge(&scaled)).await.map_err(failure)?;
    let mut changed = autoscaled.clone();
    changed["server"] = json!({"logLevel": "warn"});
    apply(changed.clone()).await.map_err(failure)?;
    eventually("the change of the template", || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        let text = json!(deployment.spec).to_string();
        ensure!(text.contains("MLOPS_LOG_LEVEL"), "it is not there");
        Ok(())
    })
    .await?;
    becomes(7).await?;

    apply(json!({"replicas": 7})).await.map_err(failure)?;
    eventually("the end of the autoscaler", || async {
        ensure!(!exists(&autoscalers).await?, "it is there");
        Ok(())
    })
    .await?;
    becomes(7).await?;
    // And again, now that the field has been with three managers.
    apply(autoscaled.clone()).await.map_err(failure)?;
    eventually("the autoscaler again", || async {
        ensure!(exists(&autoscalers).await?, "there is none");
        Ok(())
    })
    .await?;
    becomes(7).await?;
    let numbers = seen.lock().map_err(failure)?.clone();
    ensure!(numbers.iter().all(|number| *number >= 5), "on the way the replicas were {numbers:?}");

    let mut suspended = autoscaled.clone();
    suspended["suspend"] = json!(true);
    apply(suspended).await.map_err(failure)?;
    becomes(0).await?;
    ensure!(exists(&autoscalers).await?, "a suspended service lost its autoscaler");
    apply(autoscaled).await.map_err(failure)?;
    becomes(2).await?;
    apply(json!({"replicas": 3})).await.map_err(failure)?;
    becomes(3).await?;
    watching.abort();
    Ok(())
}

/// A Deployment that is made for an autoscaler starts with the fewest pods.
pub async fn autoscaled_from_the_start(client: Client) -> Outcome {
    let namespace = namespace(&client, "autoscaled").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let spec = json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 9}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    eventually("the fewest pods", || async {
        let spec = deployments.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
        ensure!(spec.replicas == Some(3), "replicas are {:?}", spec.replicas);
        Ok(())
    })
    .await
}

/// The pods' template follows the content of the ConfigMap, and nothing else of it.
pub async fn config_map(client: Client) -> Outcome {
    let namespace = namespace(&client, "config").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    service(&client, &namespace, "reviews", json!({"configMapRef": {"name": "settings"}})).await.map_err(failure)?;
    let message =
        eventually("the report", || ready(&client, &namespace, "reviews", "False", "DependencyMissing")).await?;
    ensure!(message.contains("ConfigMap \"settings\""), "the message is {message}");
    ensure!(!exists(&deployments).await?, "pods would wait for the ConfigMap");

    let write = |content: Value| {
        let config_maps = config_maps.clone();
        async move {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
            let mut object = object;
            object["data"] = content;
            config_maps.patch("settings", &PatchParams::apply("test").force(), &Patch::Apply(&object)).await
        }
    };
    let hash = || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        let annotations = deployment.spec.and_then(|spec| spec.template.metadata?.annotations).unwrap_or_default();
        annotations.get(CONFIG_HASH).cloned().ok_or_else(|| format!("the annotations are {annotations:?}"))
    };
    write(json!({"server.yaml": "log_level: INFO"})).await.map_err(failure)?;
    let first = eventually("the first hash", hash).await?;
    eventually("the rollout", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;

    write(json!({"server.yaml": "log_level: DEBUG"})).await.map_err(failure)?;
    eventually("another hash", || async {
        ensure!(hash().await? != first, "it is the same");
        Ok(())
    })
    .await?;

    let before = deployments.get("reviews").await.map_err(failure)?.resource_version();
    let label = json!({"metadata": {"labels": {"team": "insights"}}});
    config_maps.patch("settings", &PatchParams::default(), &Patch::Merge(&label)).await.map_err(failure)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = deployments.get("reviews").await.map_err(failure)?.resource_version();
    ensure!(before == after, "a label on the ConfigMap wrote the Deployment");
    Ok(())
}

/// A definition that holds just what we set, and refuses the rest.
fn definition(group: &str, kind: &str, plural: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": spec}},
            }}],
        },
    })
}

/// The CustomResourceDefinitions of the three optional kinds, as far as they are used.
pub(super) fn definitions() -> [Value; 3] {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let list = |fields: Value| json!({"type": "array", "items": {"type": "object", "properties": fields}});
    let monitor = json!({"type": "object", "required": ["selector", "podMetricsEndpoints"], "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": texts}},
        "podMetricsEndpoints": list(json!({"port": text, "path": text, "interval": text})),
    }});
    let route = json!({"type": "object", "required": ["parentRefs", "rules"], "properties": {
        "parentRefs": list(json!({"name": text, "namespace": text, "sectionName": text})),
        "hostnames": {"type": "array", "items": text},
        "rules": list(json!({
            "matches": list(json!({"path": {"type": "object", "properties": {"type": text, "value": text}}})),
            "filters": list(json!({
                "type": text,
                "urlRewrite": {"type": "object", "properties": {"path": {"type": "object", "properties": {
                    "type": text, "replacePrefixMatch": text,
                }}}},
            })),
            "backendRefs": list(json!({"name": text, "port": {"type": "integer"}})),
        })),
    }});
    let grpc_route = json!({"type": "object", "required": ["parentRefs", "rules"], "properties": {
        "parentRefs": list(json!({"name": text, "namespace": text, "sectionName": text})),
        "hostnames": {"type": "array", "items": text},
        "rules": list(json!({"backendRefs": list(json!({"name": text, "port": {"type": "integer"}}))})),
    }});
    [
        definition("monitoring.coreos.com", "PodMonitor", "podmonitors", &monitor),
        definition("gateway.networking.k8s.io", "HTTPRoute", "httproutes", &route),
        definition("gateway.networking.k8s.io", "GRPCRoute", "grpcroutes", &grpc_route),
    ]
}

/// What a cluster doesn't have is reported, and taken up without a restart when it comes.
pub async fn optional_apis(client: Client) -> Outcome {
    let namespace = namespace(&client, "optional").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let spec = json!({
        "monitoring": {"interval": "15s"},
        "route": {"parentRefs": [{"name": "public"}], "hostnames": ["reviews.example.com"], "path": "/reviews", "grpc": {}},
    });
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    let message =
        eventually("the report", || ready(&client, &namespace, "reviews", "False", "DependencyMissing")).await?;
    ensure!(message.starts_with("spec.monitoring needs the kind PodMonitor"), "the message is {message}");
    ensure!(exists(&deployments).await?, "the pods wait for what they don't need");

    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        crds.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&definition)).await.map_err(failure)?;
    }
    within(DISCOVERY, "the discovery", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    let monitors: Api<PodMonitor> = Api::namespaced(client.clone(), &namespace);
    let routes: Api<HttpRoute> = Api::namespaced(client.clone(), &namespace);
    let grpc_routes: Api<GrpcRoute> = Api::namespaced(client.clone(), &namespace);
    let endpoint = monitors.get("reviews").await.map_err(failure)?.spec.pod_metrics_endpoints.remove(0);
    ensure!(endpoint.interval.as_deref() == Some("15s"), "the interval is {:?}", endpoint.interval);
    let rule = routes.get("reviews").await.map_err(failure)?.spec.rules.remove(0);
    ensure!(rule.backend_refs[0].name == "reviews" && rule.filters.len() == 1, "the rule is {rule:?}");
    let rule = grpc_routes.get("reviews").await.map_err(failure)?.spec.rules.remove(0);
    ensure!(rule.backend_refs[0].port == 8001, "the rule of gRPC is {rule:?}");

    let edit = json!({"spec": {"podMetricsEndpoints": []}});
    monitors.patch("reviews", &PatchParams::default(), &Patch::Merge(&edit)).await.map_err(failure)?;
    eventually("the repair", || async {
        let spec = monitors.get("reviews").await.map_err(failure)?.spec;
        ensure!(spec.pod_metrics_endpoints.len() == 1, "the endpoints are {:?}", spec.pod_metrics_endpoints);
        Ok(())
    })
    .await?;
    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    eventually("their removal", || async {
        let found = [exists(&monitors).await?, exists(&routes).await?, exists(&grpc_routes).await?];
        ensure!(found == [false; 3], "PodMonitor, HTTPRoute, GRPCRoute: {found:?}");
        Ok(())
    })
    .await?;
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        crds.delete(name, &DeleteParams::default()).await.map_err(failure)?;
    }
    Ok(())
}
