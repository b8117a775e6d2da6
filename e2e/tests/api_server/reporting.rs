//! What the operator says of a service.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Event as CoreEvent, Pod, Service},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use kubesentiment_e2e::{
    Failure, Outcome, api_server::ApiServer, condition, ensure, eventually, failure, namespace, ready, service,
};
use kubesentiment_operator::{api::SentimentService, controller::Operator, metrics::Metrics, watches::Scope};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::pods::pod_on_a_node;

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
    let selector =
        "app.kubernetes.io/instance=reviews,app.kubernetes.io/name=sentiment-service,kubesentiment.io/track=stable";
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

/// An Event for each repair and each reason but that of a rollout, in its own words; none for anything else.
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
        // Nothing of the rollouts, the one at the start and the one that the repair may be seen as.
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

/// Waits for a condition of the service `reviews`, and returns its message.
async fn told_of(client: &Client, namespace: &str, type_: &str, status: &str) -> Result<String, Failure> {
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    eventually(type_, || async {
        let object = services.get("reviews").await.map_err(failure)?;
        let found = condition(&object, type_).ok_or_else(|| format!("there is no {type_}"))?;
        ensure!(found.status == status, "{type_} is {} {}: {}", found.status, found.reason, found.message);
        Ok(found.message)
    })
    .await
}

/// Waits for an Event of ours.
async fn event_of(client: &Client, namespace: &str, reason: &str) -> Result<String, Failure> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    eventually(reason, || async {
        let list = events.list(&ListParams::default()).await.map_err(failure)?;
        let found = list.items.into_iter().find(|event| event.reason.as_deref() == Some(reason));
        found.and_then(|event| event.note).ok_or_else(|| "there is no such Event".to_owned())
    })
    .await
}

/// An autoscaler without metrics is told in its own words, once; the service stays ready.
pub async fn not_scaling(client: Client) -> Outcome {
    let namespace = namespace(&client, "scaling").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    let spec = json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 3}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    eventually("the autoscaler", || async { autoscalers.get("reviews").await.map_err(failure) }).await?;
    told_of(&client, &namespace, "Scaling", "Unknown").await?;
    report(&deployments, 1, 1, 1).await?;
    eventually("serving", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;

    let say = |status: &'static str, reason: &'static str| {
        let autoscalers = autoscalers.clone();
        async move {
            let since = Timestamp::now() - SignedDuration::from_mins(5);
            let condition = json!({
                "type": "ScalingActive", "status": status, "reason": reason, "lastTransitionTime": since.to_string(),
                "message": "unable to get metrics for resource cpu (get pods.metrics.k8s.io)",
            });
            let status = json!({"status": {"desiredReplicas": 1, "currentReplicas": 1, "conditions": [condition]}});
            let params = PatchParams::default();
            autoscalers.patch_status("reviews", &params, &Patch::Merge(&status)).await.map(drop).map_err(failure)
        }
    };
    say("False", "FailedGetResourceMetric").await?;
    let message = told_of(&client, &namespace, "Scaling", "False").await?;
    ensure!(message.contains("FailedGetResourceMetric: unable to get metrics"), "the message is {message}");
    ensure!(event_of(&client, &namespace, "ScalingFailed").await? == message, "the Event has other words");
    ready(&client, &namespace, "reviews", "True", "Serving").await?;
    say("True", "ValidMetricFound").await?;
    told_of(&client, &namespace, "Scaling", "True").await.map(drop)
}

/// A route is published when a Gateway says so, and not before; whatever else the route holds. It takes an API server of
/// its own, which has that API from the start.
pub async fn published() -> Outcome {
    let server = ApiServer::start().await?;
    let client = server.client.clone();
    crate::install_crd(&client).await?;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    });
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("test");
    let name = "httproutes.gateway.networking.k8s.io";
    crds.patch(name, &params, &Patch::Apply(&definition)).await.map_err(failure)?;
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let resource = ApiResource::from_gvk_with_plural(&kind, "httproutes");
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    eventually("the API of routes", || async { all.list(&ListParams::default()).await.map_err(failure) }).await?;

    let operator = Operator::new(client.clone(), crate::IMAGE.parse().map_err(failure)?, Metrics::default());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let running = tokio::spawn(async move { Arc::new(operator).run(&[Scope::Cluster], 2, || (), stopping).await });
    let namespace = namespace(&client, "published").await?;
    let spec = json!({"route": {
        "parentRefs": [{"name": "web", "namespace": "infra"}], "hostnames": ["reviews.example.com"], "path": "/reviews",
    }});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    let message = told_of(&client, &namespace, "Published", "Unknown").await?;
    ensure!(message == "waiting for a Gateway to take the route up", "the message is {message}");
    let message = told_of(&client, &namespace, "Published", "False").await?;
    ensure!(message.contains("see that Gateway infra/web exists"), "the message is {message}");
    ensure!(event_of(&client, &namespace, "PublishingFailed").await? == message, "the Event has other words");
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    let url = services.get("reviews").await.map_err(failure)?.status.unwrap_or_default().external_url;
    ensure!(url.as_deref() == Some("http://reviews.example.com/reviews"), "the external URL is {url:?}");

    let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    for (status, reason, published) in [("False", "NotAllowedByListeners", "False"), ("True", "Accepted", "True")] {
        let generation = routes.get("reviews").await.map_err(failure)?.metadata.generation;
        let condition = json!({
            "type": "Accepted", "status": status, "reason": reason, "message": "the Gateway's own words",
            "observedGeneration": generation, "lastTransitionTime": Timestamp::now().to_string(),
        });
        let parent = json!({
            "parentRef": {"name": "web", "namespace": "infra"}, "controllerName": "example.com/gateway",
            "conditions": [condition],
        });
        let said = json!({"status": {"parents": [parent]}});
        routes.patch_status("reviews", &PatchParams::default(), &Patch::Merge(&said)).await.map_err(failure)?;
        let words = if status == "True" { "Gateway infra/web sends requests" } else { "the Gateway's own words" };
        eventually("the Gateway's words", || async {
            let message = told_of(&client, &namespace, "Published", published).await?;
            ensure!(message.contains(words), "the message is {message}");
            Ok(())
        })
        .await?;
    }
    stop.cancel();
    running.await.map_err(failure)
}

/// Waits until `Ready` is False for a reason, in words that end so.
async fn fails_with(client: &Client, namespace: &str, reason: &str, words: &str) -> Outcome {
    eventually(words, || async {
        let message = ready(client, namespace, "reviews", "False", reason).await?;
        ensure!(message.ends_with(words), "the message is {message}");
        Ok(())
    })
    .await
}

/// What a kubelet tells of a pod that comes to nothing: only in Events, then of a container of somebody else, then of a
/// reboot of its node.
pub async fn words_of_a_kubelet(client: Client) -> Outcome {
    let namespace = namespace(&client, "kubelet").await?;
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    let pod = pod_on_a_node(&client, &namespace, "reviews", "reviews-1-a").await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    report(&deployments, 1, 1, 0).await?;
    let event = json!({
        "metadata": {"generateName": "sandbox-"},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "reviews-1-a", "uid": pod.metadata.uid,
        },
        "type": "Warning", "reason": "FailedCreatePodSandBox", "message": "no network for sandbox \"0123456789abcdef\"",
        "source": {"component": "kubelet"}, "count": 1,
    });
    let events: Api<CoreEvent> = Api::namespaced(client.clone(), &namespace);
    let event = serde_json::from_value(event).map_err(failure)?;
    events.create(&PostParams::default(), &event).await.map_err(failure)?;

    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let ago = |seconds: i64| (Timestamp::now() - SignedDuration::from_secs(seconds)).to_string();
    let say = |containers: Value| {
        let (pods, since) = (pods.clone(), ago(7));
        async move {
            let scheduled = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]);
            let status = json!({"phase": "Pending", "conditions": scheduled, "containerStatuses": containers});
            let status = json!({ "status": status });
            pods.patch_status("reviews-1-a", &PatchParams::default(), &Patch::Merge(&status)).await.map_err(failure)
        }
    };
    let container = |name: &str, state: Value, restarts: i32, last: Value| {
        json!({
            "name": name, "image": "i:1", "imageID": "", "ready": false, "restartCount": restarts, "state": state,
            "lastState": last,
        })
    };
    let creating = || container("sentiment", json!({"waiting": {"reason": "ContainerCreating"}}), 0, json!({}));
    say(json!([creating()])).await?;
    // Three seconds later, without another word of anybody.
    let words = "; pod reviews-1-a: FailedCreatePodSandBox: no network for sandbox \"…\"";
    fails_with(&client, &namespace, "RollingOut", words).await?;

    let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let ended = json!({"terminated": {"exitCode": 1, "message": "no certificate", "finishedAt": ago(1)}});
    say(json!([creating(), container("istio-proxy", back_off, 2, ended)])).await?;
    let words = "container istio-proxy: ended with exit code 1: no certificate";
    fails_with(&client, &namespace, "CrashLooping", words).await?;

    let last = json!({"terminated": {
        "exitCode": 255, "reason": "Unknown", "startedAt": ago(86_400), "finishedAt": ago(2),
    }});
    say(json!([container("sentiment", json!({"running": {}}), 1, last)])).await?;
    let words = "; the server ended with exit code 255 (Unknown), and is started again";
    fails_with(&client, &namespace, "RollingOut", words).await
}
