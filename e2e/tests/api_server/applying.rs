//! What the operator writes, puts back, and leaves alone.

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ResourceQuota, Service, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome, ensure, eventually, failure, namespace, ready, resource_versions, service, within,
};
use serde_json::json;

/// The promise of the README.
const REPAIR: Duration = Duration::from_secs(2);

/// A service whose children exist.
async fn made(client: &Client, prefix: &str) -> Result<(String, Api<Deployment>, Api<Service>), Failure> {
    let namespace = namespace(client, prefix).await?;
    service(client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    eventually("the Deployment", || async { deployments.get("reviews").await.map_err(failure) }).await?;
    eventually("the status", || ready(client, &namespace, "reviews", "False", "RollingOut")).await?;
    Ok((namespace, deployments, services))
}

/// All three children exist and go with the custom resource.
pub async fn children(client: Client) -> Outcome {
    let (namespace, deployments, services) = made(&client, "children").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let account = accounts.get("reviews").await.map_err(failure)?;
    let service = services.get("reviews").await.map_err(failure)?;
    let deployment = deployments.get("reviews").await.map_err(failure)?;
    ensure!(account.automount_service_account_token == Some(false), "the account mounts its token");
    for owners in [account.owner_references(), service.owner_references(), deployment.owner_references()] {
        let [owner] = owners else { return Err(format!("{owners:?} is not one owner")) };
        ensure!(owner.kind == "SentimentService" && owner.controller == Some(true), "the owner is {owner:?}");
        ensure!(owner.block_owner_deletion != Some(true), "a deletion would wait for the child");
    }
    let ports: Vec<i32> = service.spec.and_then(|spec| spec.ports).iter().flatten().map(|port| port.port).collect();
    ensure!(ports == [8000, 8001], "the Service's ports are {ports:?}");
    Ok(())
}

/// A deleted child comes back within two seconds, and so does a changed field.
pub async fn repair(client: Client) -> Outcome {
    let (_, deployments, services) = made(&client, "repair").await?;
    let uid = services.get("reviews").await.map_err(failure)?.uid();
    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    within(REPAIR, "the Service's return", || async {
        let service = services.get("reviews").await.map_err(failure)?;
        ensure!(service.uid() != uid, "it is still there");
        Ok(())
    })
    .await?;

    let uid = deployments.get("reviews").await.map_err(failure)?.uid();
    deployments.delete("reviews", &DeleteParams::background()).await.map_err(failure)?;
    within(REPAIR, "the Deployment's return", || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        ensure!(deployment.uid() != uid, "it is still there");
        Ok(())
    })
    .await?;

    let port = json!({"spec": {"ports": [{"name": "http", "port": 1234, "targetPort": "http"}]}});
    services.patch("reviews", &PatchParams::default(), &Patch::Merge(&port)).await.map_err(failure)?;
    within(REPAIR, "the repair of the port", || async {
        let spec = services.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
        let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
        ensure!(ports == [8000, 8001], "the ports are {ports:?}");
        Ok(())
    })
    .await?;

    let edits = [
        json!({"spec": {"template": {"spec": {"containers": [{"name": "sentiment", "env": [
            {"name": "MLOPS_PROFILE", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}]}}}}),
        json!({"spec": {"template": {"spec": {"volumes": [{"name": "tmp", "emptyDir": null, "configMap": {"name": "x"}}]}}}}),
        json!({"spec": {"replicas": 7}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}),
        json!({"spec": {"template": {"spec": {"securityContext": {"runAsNonRoot": false}}}}}),
        json!({"spec": {"template": {"spec": {"containers": [{"name": "sentiment", "image": "busybox"}]}}}}),
        json!({"spec": {"template": {"spec": {"enableServiceLinks": null}}}}),
    ];
    let before = deployments.get("reviews").await.map_err(failure)?;
    for edit in edits {
        let edited = deployments
            .patch(
                "reviews",
                &PatchParams { field_manager: Some("kubectl-edit".into()), ..Default::default() },
                &Patch::Strategic(&edit),
            )
            .await
            .map_err(failure)?;
        ensure!(edited.spec != before.spec || edited.labels() != before.labels(), "{edit} changed nothing");
        within(REPAIR, &format!("the repair of {edit}"), || async {
            let after = deployments.get("reviews").await.map_err(failure)?;
            ensure!(after.spec == before.spec && after.labels() == before.labels(), "it is not as before");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Labels, annotations, fields and containers that others add stay, also when the spec changes.
pub async fn foreign_fields(client: Client) -> Outcome {
    let (namespace, deployments, services) = made(&client, "foreign").await?;
    let foreign = json!({
        "metadata": {"labels": {"team": "insights"}, "annotations": {"example.com/note": "ours"}},
        "spec": {"paused": true, "template": {"spec": {
            "priorityClassName": "", "containers": [{"name": "sidecar", "image": "proxy:1"}],
        }}},
    });
    let params = PatchParams { field_manager: Some("mesh".into()), ..PatchParams::default() };
    deployments.patch("reviews", &params, &Patch::Strategic(&foreign)).await.map_err(failure)?;
    let annotation = json!({"metadata": {"annotations": {"cloud.example.com/ip": "192.0.2.1"}}});
    services.patch("reviews", &params, &Patch::Merge(&annotation)).await.map_err(failure)?;

    service(&client, &namespace, "reviews", json!({"replicas": 3})).await.map_err(failure)?;
    let deployment = eventually("the change", || async {
        let deployment = deployments.get("reviews").await.map_err(failure)?;
        ensure!(deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(3), "replicas aren't 3");
        Ok(deployment)
    })
    .await?;
    let spec = deployment.spec.clone().unwrap_or_default();
    let names: Vec<String> =
        spec.template.spec.iter().flat_map(|pod| &pod.containers).map(|c| c.name.clone()).collect();
    ensure!(
        names.contains(&"sidecar".to_owned()) && names.contains(&"sentiment".to_owned()),
        "containers are {names:?}"
    );
    ensure!(spec.paused == Some(true), "paused is gone");
    ensure!(deployment.labels().get("team").is_some_and(|team| team == "insights"), "the label is gone");
    let service = services.get("reviews").await.map_err(failure)?;
    ensure!(service.annotations().contains_key("cloud.example.com/ip"), "the annotation is gone");
    Ok(())
}

/// With nothing changing, no object's resourceVersion moves.
pub async fn quiet(client: Client) -> Outcome {
    let (namespace, ..) = made(&client, "quiet").await?;
    // The API server's own bookkeeping (finalizers, endpoints) may follow a creation.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = resource_versions(&client, &namespace).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = resource_versions(&client, &namespace).await?;
    ensure!(before == after, "{before:?} became {after:?}");
    ensure!(before.len() >= 4, "only {before:?} exist");
    Ok(())
}

/// A change of the spec reaches the children, and what it no longer asks for goes.
pub async fn update(client: Client) -> Outcome {
    let (namespace, deployments, services) = made(&client, "update").await?;
    let spec = json!({
        "env": [{"name": "EXTRA", "value": "1"}],
        "service": {"port": 80, "annotations": {"example.com/a": "b"}},
        "server": {"threads": 2},
    });
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    let env = |deployment: &Deployment| -> Vec<String> {
        let spec = deployment.spec.clone().unwrap_or_default();
        let containers = spec.template.spec.unwrap_or_default().containers;
        containers.into_iter().flat_map(|container| container.env.unwrap_or_default()).map(|v| v.name).collect()
    };
    eventually("the new spec", || async {
        let names = env(&deployments.get("reviews").await.map_err(failure)?);
        ensure!(names.contains(&"EXTRA".into()) && names.contains(&"MLOPS_THREADS".into()), "env is {names:?}");
        let service = services.get("reviews").await.map_err(failure)?;
        ensure!(service.annotations().contains_key("example.com/a"), "the annotation is missing");
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        ensure!(ports.iter().map(|port| port.port).eq([80, 8001]), "the ports are {ports:?}");
        Ok(())
    })
    .await?;

    let emptied = json!({"service": {}, "server": {}});
    for spec in [emptied, json!({})] {
        service(&client, &namespace, "reviews", spec.clone()).await.map_err(|error| format!("{spec}: {error}"))?;
    }
    eventually("the old spec", || async {
        let names = env(&deployments.get("reviews").await.map_err(failure)?);
        ensure!(!names.contains(&"EXTRA".into()) && !names.contains(&"MLOPS_THREADS".into()), "env is {names:?}");
        let service = services.get("reviews").await.map_err(failure)?;
        ensure!(!service.annotations().contains_key("example.com/a"), "the annotation stayed");
        Ok(())
    })
    .await
}

/// Ports come, go and change places on the same Service, and say what is spoken there.
pub async fn ports(client: Client) -> Outcome {
    let (namespace, _, services) = made(&client, "ports").await?;
    let uid = services.get("reviews").await.map_err(failure)?.uid();
    for (spec, expected) in [
        (json!({}), vec!["http 8000 http", "grpc 8001 kubernetes.io/h2c"]),
        (json!({"service": {"port": 8001}}), vec!["http 8001 http", "grpc 8000 kubernetes.io/h2c"]),
        (json!({"tls": {"secretName": "reviews-tls"}}), vec!["http 8000 https", "grpc 8001 "]),
        (json!({"protocols": ["native"]}), vec!["http 8000 http"]),
        (json!({}), vec!["http 8000 http", "grpc 8001 kubernetes.io/h2c"]),
    ] {
        service(&client, &namespace, "reviews", spec.clone()).await.map_err(failure)?;
        eventually("the ports", || async {
            let service = services.get("reviews").await.map_err(failure)?;
            ensure!(service.uid() == uid, "it is another Service");
            let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default().into_iter();
            let mut found: Vec<String> = ports
                .map(|port| {
                    let (name, protocol) = (port.name.unwrap_or_default(), port.app_protocol.unwrap_or_default());
                    format!("{name} {} {protocol}", port.port)
                })
                .collect();
            found.sort_unstable_by(|one, other| other.cmp(one));
            ensure!(found == expected, "{spec}: the ports are {found:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// An object of the same name that somebody else made is reported, and is ours to make once it is gone.
pub async fn stranger(client: Client) -> Outcome {
    let namespace = namespace(&client, "stranger").await?;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let theirs: Service = serde_json::from_value(json!({
        "metadata": {"name": "reviews"}, "spec": {"ports": [{"port": 1234}]},
    }))
    .map_err(failure)?;
    let before = services.create(&PostParams::default(), &theirs).await.map_err(failure)?;
    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    let message = eventually("the report", || ready(&client, &namespace, "reviews", "False", "ApplyFailed")).await?;
    ensure!(message.starts_with("Service reviews exists already and doesn't belong"), "the message is {message}");
    let after = services.get("reviews").await.map_err(failure)?;
    ensure!(before.resource_version() == after.resource_version(), "their Service was touched");

    services.delete("reviews", &DeleteParams::default()).await.map_err(failure)?;
    eventually("the healing", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    Ok(())
}

/// A field that another tool applies is neither taken nor given: both sides are named.
pub async fn contested(client: Client) -> Outcome {
    let (namespace, deployments, _) = made(&client, "contested").await?;
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews"}, "spec": {"replicas": 9},
    });
    deployments
        .patch("reviews", &PatchParams::apply("other-tool").force(), &Patch::Apply(&theirs))
        .await
        .map_err(failure)?;
    let message = eventually("the report", || ready(&client, &namespace, "reviews", "False", "ApplyFailed")).await?;
    ensure!(message.contains("other-tool") && message.contains(".spec.replicas"), "the message is {message}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let replicas = deployments.get("reviews").await.map_err(failure)?.spec.and_then(|spec| spec.replicas);
    ensure!(replicas == Some(9), "the operator fought for replicas: {replicas:?}");

    // The other tool lets go of the field.
    let without = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews"}});
    deployments
        .patch("reviews", &PatchParams::apply("other-tool").force(), &Patch::Apply(&without))
        .await
        .map_err(failure)?;
    eventually("the healing", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    let replicas = deployments.get("reviews").await.map_err(failure)?.spec.and_then(|spec| spec.replicas);
    ensure!(replicas == Some(2), "replicas are {replicas:?}");
    Ok(())
}

/// A quota without room is told in the API server's words; more room is all that healing takes.
pub async fn quota(client: Client) -> Outcome {
    let namespace = namespace(&client, "quota").await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
    // No controller fills in what is used here, so the test does.
    let mut quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "small"}, "spec": {"hard": {"services": "0"}},
    }))
    .map_err(failure)?;
    quotas.create(&PostParams::default(), &quota).await.map_err(failure)?;
    quota.status =
        serde_json::from_value(json!({"hard": {"services": "0"}, "used": {"services": "0"}})).map_err(failure)?;
    quotas.patch_status("small", &PatchParams::default(), &Patch::Merge(&quota)).await.map_err(failure)?;

    let began = Instant::now();
    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    let message = eventually("the report", || ready(&client, &namespace, "reviews", "False", "QuotaExceeded")).await?;
    ensure!(message.contains("exceeded quota: small"), "the message is {message}");
    ensure!(began.elapsed() < Duration::from_secs(15), "it took {:?}", began.elapsed());

    quotas.delete("small", &DeleteParams::default()).await.map_err(failure)?;
    eventually("the healing", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    Ok(())
}
