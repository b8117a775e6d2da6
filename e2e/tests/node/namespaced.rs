//! The operator for listed namespaces, as the chart installs it.

use std::time::Duration;

use kube::{Api, Client, ResourceExt, api::ListParams};
use kubesentiment_e2e::{
    Outcome,
    cluster::{OPERATOR_NAMESPACE, helm, kubectl},
    ensure, failure, namespace, repository, resource_versions, service,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::json;

use super::failing::heals;

const OPERATOR: &str = "deployment/kubesentiment-operator";
const RELEASE: &str = "namespaced";

/// It serves its namespaces by Roles alone, and leaves the others alone.
pub async fn roles_only(client: Client) -> Outcome {
    let [home, mine, foreign] =
        [namespace(&client, "home").await?, namespace(&client, "mine").await?, namespace(&client, "foreign").await?];
    // The one for the whole cluster would serve them all.
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", OPERATOR, "--replicas=0"])?;
    kubectl(&["-n", OPERATOR_NAMESPACE, "wait", "--for=delete", "pod", "--all", "--timeout=60s"])?;
    let outcome = with_release(&client, &home, &mine, &foreign).await;
    let removed = helm(&["uninstall", RELEASE, "--namespace", &home, "--ignore-not-found", "--wait"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", OPERATOR, "--replicas=2"])?;
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", OPERATOR, "--timeout=60s"])?;
    outcome.and(removed.map(drop))?;
    // Back again, it takes up what the other left.
    heals(&client, &foreign).await
}

async fn with_release(client: &Client, home: &str, mine: &str, foreign: &str) -> Outcome {
    let chart = repository().join("charts/kubesentiment-operator").display().to_string();
    let namespaces = format!("watchNamespaces={{{mine}}}");
    helm(&[
        "install",
        RELEASE,
        &chart,
        "--namespace",
        home,
        "--wait",
        "--timeout",
        "90s",
        "--set",
        &namespaces,
        "--set",
        "fullnameOverride=namespaced",
        "--set",
        "crds.install=false",
        "--set",
        "rbac.userRoles=false",
    ])?;

    let of_release = format!("app.kubernetes.io/instance={RELEASE}");
    let wide = kubectl(&["get", "clusterroles,clusterrolebindings", "-l", &of_release, "-o", "name"])?;
    ensure!(wide.is_empty(), "it has rights in the whole cluster: {wide}");
    let roles = kubectl(&["get", "roles", "-A", "-l", &of_release, "--no-headers"])?;
    ensure!(roles.lines().count() == 2, "its Roles aren't one in {mine} and one for the Lease in {home}: {roles}");
    let account = format!("--as=system:serviceaccount:{home}:namespaced");
    for (verb, resource, namespace, allowed) in [
        ("patch", "deployments.apps", mine, true),
        ("list", "sentimentservices.kubesentiment.io", mine, true),
        ("list", "sentimentservices.kubesentiment.io", foreign, false),
        ("patch", "deployments.apps", foreign, false),
        ("get", "pods", home, false),
        ("get", "secrets", mine, false),
    ] {
        let answer = kubectl(&["auth", "can-i", verb, resource, "-n", namespace, &account]);
        ensure!(answer.is_ok() == allowed, "{verb} {resource} in {namespace}: {answer:?}");
    }

    for namespace in [foreign, mine] {
        service(client, namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    }
    heals(client, mine).await?;
    // By then it has long seen all that it will ever see of the other.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let left_alone = resource_versions(client, foreign).await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), foreign);
    let listed = services.list(&ListParams::default()).await.map_err(failure)?;
    let children: Vec<&String> =
        left_alone.iter().filter(|line| line.starts_with("Deployment") || line.starts_with("Service/")).collect();
    ensure!(children.is_empty(), "it made {children:?} in {foreign}");
    let is_reported = |service: &&SentimentService| service.status.as_ref().is_some_and(|it| !it.is_unreported());
    let reported: Vec<String> = listed.iter().filter(is_reported).map(ResourceExt::name_any).collect();
    ensure!(reported.is_empty(), "it reported on {reported:?} in {foreign}");
    Ok(())
}
