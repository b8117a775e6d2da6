//! Autoscaling by the cluster's own autoscaler, on what a real metrics-server measures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{
    Api, Client, ResourceExt,
    api::{WatchEvent, WatchParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{addon, in_node},
    ensure, eventually, failure, service, within,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{failing::heals, serving::serving};

fn autoscaled(least: i32) -> Value {
    json!({
        "autoscaling": {
            "minReplicas": least,
            "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 60,
            // The default of five minutes is for real traffic.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
        "server": {"drainSeconds": 1},
    })
}

fn fixed(replicas: i32) -> Value {
    json!({"replicas": replicas, "server": {"drainSeconds": 1}})
}

/// Load through the Service takes it from one pod to three, and its end takes it back.
pub async fn load(client: Client) -> Outcome {
    addon("metrics-server")?;
    let (namespace, address) = serving(&client, "load", autoscaled(1)).await?;
    // The autoscaler acts on a pod only once it has measured it.
    within(Duration::from_mins(2), "the first measurement", || measured(&client, &namespace)).await?;
    ready_replicas(&client, &namespace, 1).await?;
    let load = Load::start(&address)?;
    let up = within(Duration::from_mins(3), "three pods", || ready_replicas(&client, &namespace, 3)).await;
    load.stop()?;
    up?;
    heals(&client, &namespace).await?;
    within(Duration::from_mins(3), "one pod again", || ready_replicas(&client, &namespace, 1)).await?;
    heals(&client, &namespace).await
}

/// Between `replicas` and `autoscaling` and back, no pod that was ready is lost at any moment.
pub async fn handover(client: Client) -> Outcome {
    addon("metrics-server")?;
    let (namespace, _) = serving(&client, "handover", fixed(2)).await?;
    let floor = Floor::watch(&client, &namespace, 2).await?;
    service(&client, &namespace, "reviews", autoscaled(2)).await.map_err(failure)?;
    within(Duration::from_mins(2), "the first measurement", || measured(&client, &namespace)).await?;
    heals(&client, &namespace).await?;
    service(&client, &namespace, "reviews", fixed(2)).await.map_err(failure)?;
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &namespace);
    eventually("the autoscaler's end", || async {
        ensure!(autoscalers.get_opt("reviews").await.map_err(failure)?.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    heals(&client, &namespace).await?;
    // What the way back could break shows only at the autoscaler's next turn, after 5 s.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (lowest, versions) = floor.end()?;
    ensure!(versions > 1, "only {versions} versions of the Deployment were seen");
    ensure!(lowest == 2, "only {lowest} pods were ready at a moment");
    Ok(())
}

/// Fails until the autoscaler has a measurement of its own to act on.
async fn measured(client: &Client, namespace: &str) -> Outcome {
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let status = autoscalers.get("reviews").await.map_err(failure)?.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let active = conditions.iter().find(|condition| condition.type_ == "ScalingActive");
    ensure!(active.is_some_and(|condition| condition.status == "True"), "{conditions:?}");
    Ok(())
}

async fn ready_replicas(client: &Client, namespace: &str, wanted: i32) -> Outcome {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let status = deployments.get("reviews").await.map_err(failure)?.status.unwrap_or_default();
    let (ready, total) = (status.ready_replicas.unwrap_or_default(), status.replicas.unwrap_or_default());
    ensure!((ready, total) == (wanted, wanted), "{ready} of {total} pods are ready");
    Ok(())
}

/// Requests without a pause, each of texts that were never asked before, from inside the node.
struct Load {
    pid: u32,
    task: JoinHandle<Result<String, Failure>>,
}

impl Load {
    fn start(address: &str) -> Result<Self, Failure> {
        let pid_file = std::env::temp_dir().join(format!("kubesentiment-load-{}", std::process::id()));
        let script = r#"
            echo $$ >"$1"; end=$((SECONDS + 240)); i=0
            while ((SECONDS < end)); do
                i=$((i + 1))
                texts=$(seq -s , -f "\"$i number %g of the things that I like about this product\"" 64)
                curl -s -o /dev/null --max-time 30 "$0" -H 'content-type: application/json' -d "{\"texts\": [$texts]}" || sleep 0.2
            done"#;
        let url = format!("http://{address}/api/v1/predict/batch");
        let file = pid_file.display().to_string();
        let task = tokio::task::spawn_blocking(move || in_node(&["bash", "-c", script, &url, &file]));
        let began = std::time::Instant::now();
        loop {
            let pid = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid {
                std::fs::remove_file(&pid_file).map_err(failure)?;
                return Ok(Self { pid, task });
            }
            ensure!(began.elapsed() < Duration::from_secs(10), "the load doesn't start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(self) -> Outcome {
        kubesentiment_e2e::cluster::signal(self.pid, "TERM")?;
        self.task.abort();
        Ok(())
    }
}

/// The lowest count of ready pods in any version of a Deployment.
struct Floor {
    lowest: Arc<AtomicI32>,
    versions: Arc<AtomicI32>,
    task: JoinHandle<Outcome>,
}

impl Floor {
    async fn watch(client: &Client, namespace: &str, begin: i32) -> Result<Self, Failure> {
        let (lowest, versions) = (Arc::new(AtomicI32::new(begin)), Arc::new(AtomicI32::new(0)));
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        // From the present version on: version 0 would begin with whatever the API server still remembers.
        let present = deployments.get("reviews").await.map_err(failure)?.resource_version().unwrap_or_default();
        let task = tokio::spawn({
            let (lowest, versions) = (lowest.clone(), versions.clone());
            async move {
                let stream = deployments.watch(&WatchParams::default(), &present).await.map_err(failure)?;
                futures::pin_mut!(stream);
                while let Some(event) = stream.try_next().await.map_err(failure)? {
                    let deployment = match event {
                        WatchEvent::Added(deployment) | WatchEvent::Modified(deployment) => deployment,
                        WatchEvent::Bookmark(_) => continue,
                        other => return Err(format!("an unexpected event: {other:?}")),
                    };
                    let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or_default();
                    lowest.fetch_min(ready, Ordering::Relaxed);
                    versions.fetch_add(1, Ordering::Relaxed);
                }
                Err("the watch has ended".to_owned())
            }
        });
        Ok(Self { lowest, versions, task })
    }

    /// The lowest count, and how many versions were seen.
    fn end(self) -> Result<(i32, i32), Failure> {
        ensure!(!self.task.is_finished(), "the watch has ended before the test");
        self.task.abort();
        Ok((self.lowest.load(Ordering::Relaxed), self.versions.load(Ordering::Relaxed)))
    }
}
