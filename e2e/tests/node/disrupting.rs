//! What a budget and a network policy keep away from a service, with an enforcer for each: the eviction API, and
//! kube-router's firewall.

use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{addon, kubectl},
    ensure, eventually, failure, namespace, service,
};
use serde_json::json;

use super::{
    failing::heals,
    serving::{address, serving},
};

/// An eviction that would leave less than the budget asks for is refused; with a pod to spare it passes.
pub async fn budget(client: Client) -> Outcome {
    let spec = |replicas: i32| json!({"replicas": replicas, "disruptionBudget": {"minAvailable": 2}});
    let (namespace, _) = serving(&client, "budget", spec(2)).await?;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    let allowed = |wanted: i32| {
        let budgets = budgets.clone();
        move || {
            let budgets = budgets.clone();
            async move {
                let status = budgets.get("reviews").await.map_err(failure)?.status.unwrap_or_default();
                let found = status.disruptions_allowed;
                ensure!(found == wanted && status.expected_pods > 0, "{found} disruptions are allowed");
                Ok(())
            }
        }
    };
    eventually("the budget's count", allowed(0)).await?;
    match evict(&client, &namespace).await {
        Err(why) if why.contains("TooManyRequests") || why.contains("disruption budget") => {}
        other => return Err(format!("the eviction is not refused: {other:?}")),
    }

    service(&client, &namespace, "reviews", spec(3)).await.map_err(failure)?;
    heals(&client, &namespace).await?;
    eventually("a pod to spare", allowed(1)).await?;
    evict(&client, &namespace).await?;
    heals(&client, &namespace).await?;

    // A budget that isn't asked for any more goes: two replicas have the default one, a single one has none.
    service(&client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the budget's end", || async {
        ensure!(budgets.get_opt("reviews").await.map_err(failure)?.is_none(), "it is still there");
        Ok(())
    })
    .await
}

/// Asks the eviction API for a pod of the service. By kubectl: kube's client repeats a request that was answered by 429.
async fn evict(client: &Client, namespace: &str) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let live = pods.list(&ListParams::default()).await.map_err(failure)?;
    let name = live.iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).map(ResourceExt::name_any);
    let name = name.ok_or("no pod runs")?;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}});
    let file = std::env::temp_dir().join(format!("kubesentiment-eviction-{}.json", std::process::id()));
    std::fs::write(&file, eviction.to_string()).map_err(failure)?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let answer = kubectl(&["create", "--raw", &path, "-f", &file.to_string_lossy()]);
    std::fs::remove_file(&file).map_err(failure)?;
    answer.map(drop)
}

/// Who isn't listed gets no answer on any port, who is gets one on the server's port, and the server itself reaches DNS
/// and nothing else.
pub async fn network_policy(client: Client) -> Outcome {
    addon("kube-router")?;
    let callers = namespace(&client, "callers").await?;
    let spec = json!({
        "replicas": 1,
        // For its shell.
        "image": {"debug": true},
        "networkPolicy": {"ingressFrom": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": callers}},
            "podSelector": {"matchLabels": {"caller": "allowed"}},
        }]},
    });
    let (namespace, _) = serving(&client, "policy", spec).await?;
    let address = address(&client, &namespace).await?;
    for caller in ["allowed", "other"] {
        start_caller(&client, &callers, caller).await?;
    }
    eventually("an answer to who is listed", || async { fetch(&callers, "allowed", &address) }).await?;
    // The rules are there by now, so who isn't listed has to wait in vain.
    refused(fetch(&callers, "other", &address), "a caller that isn't listed")?;

    let server = kubectl(&["-n", &namespace, "get", "pod", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let inside = |script: &str| kubectl(&["-n", &namespace, "exec", &server, "--", "sh", "-c", script]);
    inside("nslookup kubernetes.default.svc.cluster.local")?;
    let elsewhere = kubectl(&["-n", &callers, "get", "pod", "allowed", "-o", "jsonpath={.status.podIP}"])?;
    let call = call(&format!("{elsewhere}:8000"));
    refused(inside(&call), "a call of the server's own")?;

    // Without the policy all of it passes.
    let open = json!({"replicas": 1, "image": {"debug": true}, "networkPolicy": {"enabled": false}});
    service(&client, &namespace, "reviews", open).await.map_err(failure)?;
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &namespace);
    eventually("the policy's end", || async {
        ensure!(policies.get_opt("reviews").await.map_err(failure)?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    eventually("an answer to everybody", || async { fetch(&callers, "other", &address) }).await?;
    eventually("a call of the server's own", || async { inside(&call) }).await.map(drop)
}

/// A pod that listens on port 8000 and can call others.
async fn start_caller(client: &Client, namespace: &str, name: &str) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"caller": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "caller",
                "image": "sentiment-service:distroless-debug",
                "imagePullPolicy": "Never",
                "command": ["/busybox/sh", "-c", "mkdir -p /tmp/www && echo hello >/tmp/www/index.html && exec httpd -f -p 8000 -h /tmp/www"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))
    .map_err(failure)?;
    pods.create(&PostParams::default(), &pod).await.map_err(failure)?;
    kubectl(&["-n", namespace, "wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]).map(drop)
}

/// A request that fails where no answer comes. Not by wget: the static busybox crashes in it, for want of libc's modules.
fn call(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
    format!("printf 'GET /api/v1/ready HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {host} {port} | grep HTTP/1")
}

fn fetch(namespace: &str, caller: &str, address: &str) -> Result<String, Failure> {
    kubectl(&["-n", namespace, "exec", caller, "--", "sh", "-c", &call(address)])
}

/// Exit code 1 is grep's, which saw no answer; any other would be a failure of the test's own.
fn refused(answer: Result<String, Failure>, what: &str) -> Outcome {
    match answer {
        Err(why) if why.contains("exit code 1\n") => Ok(()),
        other => Err(format!("{what} is not refused by the firewall: {other:?}")),
    }
}
