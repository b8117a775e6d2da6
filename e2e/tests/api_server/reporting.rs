//! What the operator says of a service.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service, events::v1::Event};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use kubesentiment_e2e::{Outcome, condition, ensure, eventually, failure, namespace, ready, service};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

/// Reports of a Deployment what its controller would.
async fn report(deployments: &Api<Deployment>, replicas: i32, updated: i32, available: i32) -> Outcome {
    let generation = deployments.get("reviews").await.map_err(failure)?.metadata.generation;
    let status = json!({"status": {
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
    }});
    deployments.patch_status("reviews", &PatchParams::default(), &Patch::Merge(&status)).await.map_err(failure)?;
    Ok(())
}

/// From nothing to serving, to a new spec that rolls out while the old one serves.
pub async fn lifecycle(client: Client) -> Outcome {
    let namespace = namespace(&client, "lifecycle").await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    eventually("the rollout", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;

    report(&deployments, 2, 2, 2).await?;
    let message = eventually("serving", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    ensure!(message == "2 of 2 replicas serve", "the message is {message}");
    let status = services.get("reviews").await.map_err(failure)?.status.unwrap_or_default();
    ensure!(status.url == Some(format!("http://reviews.{namespace}.svc:8000")), "the url is {:?}", status.url);
    ensure!(status.image.as_deref() == Some(crate::IMAGE), "the image is {:?}", status.image);
    ensure!(status.replicas == 2 && status.available_replicas == 2, "the counts are {status:?}");

    let spec = json!({"image": {"tag": "next"}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    eventually("the next rollout", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    report(&deployments, 3, 1, 2).await?;
    eventually("the old replicas in the message", || async {
        let object = services.get("reviews").await.map_err(failure)?;
        let message = condition(&object, "Ready").map(|ready| ready.message).unwrap_or_default();
        ensure!(message.contains("2 of an older spec remain"), "the message is {message}");
        let available = condition(&object, "Available").map(|available| available.status);
        ensure!(available.as_deref() == Some("True"), "Available is {available:?}");
        let reconciling = condition(&object, "Reconciling").map(|reconciling| reconciling.status);
        ensure!(reconciling.as_deref() == Some("True"), "Reconciling is {reconciling:?}");
        Ok(())
    })
    .await
}

/// The scale subresource reads and writes, and `suspend` keeps everything but pods.
pub async fn scale_and_suspend(client: Client) -> Outcome {
    let namespace = namespace(&client, "scale").await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the Deployment", || async { deployments.get("reviews").await.map_err(failure) }).await?;
    report(&deployments, 1, 1, 1).await?;
    eventually("serving", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;

    let scale = services.get_scale("reviews").await.map_err(failure)?;
    let status = scale.status.unwrap_or_default();
    ensure!(status.replicas == 1, "scale says {} replicas", status.replicas);
    let selector = "app.kubernetes.io/instance=reviews,app.kubernetes.io/name=sentiment-service";
    ensure!(status.selector.as_deref() == Some(selector), "the selector is {:?}", status.selector);
    let four = json!({"spec": {"replicas": 4}});
    services.patch_scale("reviews", &PatchParams::default(), &Patch::Merge(&four)).await.map_err(failure)?;
    let replicas = |wanted: i32| {
        let deployments = deployments.clone();
        move || {
            let deployments = deployments.clone();
            async move {
                let spec = deployments.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
                ensure!(spec.replicas == Some(wanted), "replicas are {:?}", spec.replicas);
                Ok(())
            }
        }
    };
    eventually("four replicas", replicas(4)).await?;

    let suspend = json!({"spec": {"suspend": true}});
    services.patch("reviews", &PatchParams::default(), &Patch::Merge(&suspend)).await.map_err(failure)?;
    eventually("no replicas", replicas(0)).await?;
    report(&deployments, 0, 0, 0).await?;
    let message = eventually("suspension", || ready(&client, &namespace, "reviews", "False", "Suspended")).await?;
    ensure!(message.starts_with("spec.suspend is true: "), "the message is {message}");
    let resume = json!({"spec": {"suspend": false}});
    services.patch("reviews", &PatchParams::default(), &Patch::Merge(&resume)).await.map_err(failure)?;
    eventually("four replicas again", replicas(4)).await
}

/// An Event for each change of the reason and each repair, in its own words; none for anything else.
pub async fn events(client: Client) -> Outcome {
    let namespace = namespace(&client, "events").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let children: Api<Service> = Api::namespaced(client.clone(), &namespace);
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the Deployment", || async { deployments.get("reviews").await.map_err(failure) }).await?;
    eventually("the rollout", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    report(&deployments, 1, 1, 1).await?;
    eventually("serving", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    let edit: Value = json!({"spec": {"revisionHistoryLimit": 1}});
    deployments.patch("reviews", &PatchParams::default(), &Patch::Merge(&edit)).await.map_err(failure)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    report(&deployments, 1, 1, 1).await?;
    for other in ["one", "two"] {
        let edit: Value = json!({"spec": {"selector": {"app.kubernetes.io/instance": other}}});
        children.patch("reviews", &PatchParams::default(), &Patch::Merge(&edit)).await.map_err(failure)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let expected = [
        "Repaired x1: Deployment was changed or deleted by hand; put back what the spec says",
        "Repaired x2: Service was changed or deleted by hand; put back what the spec says",
        // The repair of the Deployment may be seen as another rollout.
        "RollingOut: the Deployment's controller has yet to take up the current spec",
        "Serving: 1 of 1 replicas serve",
    ];
    eventually("the events", || async {
        let list = events.list(&ListParams::default()).await.map_err(failure)?;
        let ours = |event: &&Event| event.reporting_controller.as_deref() == Some("kubesentiment-operator");
        let mut told: Vec<String> = list.iter().filter(ours).map(told).collect();
        told.sort();
        ensure!(told == expected, "the events are {told:?}");
        Ok(())
    })
    .await
}

/// What an Event says, and how often if it tells of repairs.
fn told(event: &Event) -> String {
    let [reason, note] = [&event.reason, &event.note].map(|words| words.as_deref().unwrap_or_default());
    let times = event.series.as_ref().map_or(1, |series| series.count);
    if reason == "Repaired" { format!("{reason} x{times}: {note}") } else { format!("{reason}: {note}") }
}
