//! Children of kinds that a cluster may not have.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{kubectl, leader},
    ensure, eventually, failure, namespace, service, within,
};
use serde_json::json;

use super::failing::{fails, heals};

/// Longer than the pause of a watch whose API isn't installed.
const DISCOVERY: Duration = Duration::from_mins(1);

/// A kind that isn't installed is named; its installation is all that it takes, and no operator restarts for it.
pub async fn late_api(client: Client) -> Outcome {
    let namespace = namespace(&client, "late-api").await?;
    let spec = json!({"replicas": 1, "monitoring": {"interval": "30s"}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(&client, &namespace, "DependencyMissing", &["spec.monitoring", "PodMonitor", "the Prometheus Operator"])
        .await?;
    let leading = leader(&client).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.create(&PostParams::default(), &pod_monitors()?).await.map_err(failure)?;
    let outcome = within(DISCOVERY, "the PodMonitor", || async {
        let interval = "jsonpath={.spec.podMetricsEndpoints[0].interval}";
        let found = kubectl(&["-n", &namespace, "get", "podmonitors", "reviews", "-o", interval])?;
        ensure!(found == "30s", "its interval is {found}");
        Ok(())
    })
    .await;
    let healed = if outcome.is_ok() { heals(&client, &namespace).await } else { outcome };
    crds.delete("podmonitors.monitoring.coreos.com", &DeleteParams::default()).await.map_err(failure)?;
    eventually("the kind's end", || async {
        let left = crds.get_opt("podmonitors.monitoring.coreos.com").await.map_err(failure)?;
        ensure!(left.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    healed?;
    let now = leader(&client).await?;
    ensure!(leading == now, "{now} leads in place of {leading}");
    Ok(())
}

/// The Prometheus Operator's kind, without its schema.
fn pod_monitors() -> Result<CustomResourceDefinition, Failure> {
    serde_json::from_value(json!({
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": "PodMonitor", "listKind": "PodMonitorList", "plural": "podmonitors", "singular": "podmonitor"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    }))
    .map_err(failure)
}
