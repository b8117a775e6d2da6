//! A whole control plane without a node: the controllers and the scheduler are real, and kwok plays the kubelets. Thousands
//! of pods run on it in the memory of a few.

use std::{fs, time::Duration};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Failure, Outcome, api_server::ApiServer, ensure, failure, repository, within};

/// Where the operator is installed.
pub const HOME: &str = "kubesentiment-system";

/// What the operator needs in a cluster.
const INSTALLED: [&str; 5] = [
    "config/default/namespace.yaml",
    "crds/sentimentservices.kubesentiment.io.yaml",
    "config/rbac/serviceaccount.yaml",
    "config/rbac/clusterrole.yaml",
    "config/rbac/leader.yaml",
];

/// Starts a control plane with so many nodes, and all that an operator needs but itself. The bounds that its controllers
/// set themselves by default are raised, or they would be what is measured.
pub async fn start(nodes: usize) -> Result<ApiServer, Failure> {
    let mut server = ApiServer::start().await?;
    let kubeconfig = server.kubeconfig(None)?;
    let mut controllers = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--service-account-private-key-file={}", server.path("key")),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        "--node-monitor-grace-period=3h".to_owned(),
    ];
    for controller in ["deployment", "replicaset", "service-endpoint", "endpoint", "gc", "namespace", "disruption"] {
        controllers.push(format!("--concurrent-{controller}-syncs=20"));
    }
    server.run("kube-controller-manager", &controllers)?;
    let scheduling = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": false}, "percentageOfNodesToScore": 20,
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 1000, "burst": 2000},
    });
    let scheduling = server.file("scheduler.json", &scheduling.to_string())?;
    server.run("kube-scheduler", &[format!("--config={scheduling}"), "--secure-port=0".to_owned()])?;
    let stages = server.file("kubelets.yaml", include_str!("kubelets.yaml"))?;
    let kubelets = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--config={stages}"),
        "--manage-all-nodes=true".to_owned(),
        "--v=WARN".to_owned(),
        "--node-ip=10.255.0.1".to_owned(),
        "--cidr=10.64.0.0/12".to_owned(),
        "--node-lease-duration-seconds=10800".to_owned(),
    ];
    server.run("kwok", &kubelets)?;
    for file in INSTALLED {
        let text = fs::read_to_string(repository().join(file)).map_err(failure)?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            apply(&server.client, &Value::deserialize(document).map_err(failure)?).await?;
        }
    }
    make_nodes(&server.client, nodes).await?;
    Ok(server)
}

async fn apply(client: &Client, object: &Value) -> Outcome {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let is_in_one = matches!(text("/kind"), "ServiceAccount" | "Role" | "RoleBinding");
    let api: Api<DynamicObject> = if is_in_one {
        Api::namespaced_with(client.clone(), HOME, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let applied = api.patch(text("/metadata/name"), &PatchParams::apply("test"), &Patch::Apply(object)).await;
    applied.map(drop).map_err(failure)
}

async fn make_nodes(client: &Client, count: usize) -> Outcome {
    let nodes: Api<Node> = Api::all(client.clone());
    let room = json!({"cpu": "4000", "memory": "8Ti", "pods": "10000"});
    for number in 0..count {
        let name = format!("kwok-{number:03}");
        let node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            }},
            "status": {"allocatable": room, "capacity": room},
        }));
        nodes.create(&PostParams::default(), &node.map_err(failure)?).await.map_err(failure)?;
    }
    within(Duration::from_mins(2), "the nodes", || async {
        let nodes = nodes.list(&ListParams::default()).await.map_err(failure)?;
        let ready = nodes.items.iter().filter(|node| is_ready(node)).count();
        ensure!(ready == count, "{ready} of {count} are ready");
        Ok(())
    })
    .await
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
