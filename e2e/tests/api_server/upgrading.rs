//! An upgrade of the operator that changes every pod template.
//!
//! No Deployment controller runs, so a rollout is in progress until the test says that it is complete.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use kubesentiment_e2e::{
    Failure, Outcome, api_server::ApiServer, condition, ensure, eventually, failure, namespace, ready, service,
};
use kubesentiment_operator::{
    api::SentimentService, controller::Operator, metrics::Metrics, runtime::client::connect, watches::Scope,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::counting::requests;

const OLD: &str = "sentiment-service:1";
const NEW: &str = "sentiment-service:2";
const SERVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// What `--max-rollouts` is.
const PLACES: usize = 2;

/// An operator of some release.
struct Release {
    metrics: Metrics,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Release {
    fn start(server: &ApiServer, default_image: &str) -> Result<Self, Failure> {
        let metrics = Metrics::default();
        let client = connect(server.config.clone(), &metrics.api_requests).map_err(failure)?;
        let stop = CancellationToken::new();
        let operator = Operator::new(client, default_image.parse().map_err(failure)?, metrics.clone()).max_rollouts(2);
        let stopping = stop.clone();
        let running = tokio::spawn(async move { Arc::new(operator).run(&[Scope::Cluster], 8, || (), stopping).await });
        Ok(Self { metrics, stop, running })
    }

    async fn end(self) -> Outcome {
        self.stop.cancel();
        self.running.await.map_err(failure)
    }

    /// The value of a gauge or counter without labels.
    fn value(&self, name: &str) -> String {
        let text = self.metrics.render().unwrap_or_default();
        let prefix = format!("kubesentiment_operator_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
    }
}

/// The services of one namespace.
struct Fleet {
    client: Client,
    namespace: String,
    deployments: Api<Deployment>,
}

impl Fleet {
    /// Reports what the Deployment's controller would when all pods are of the current template.
    async fn complete(&self, name: &str) -> Outcome {
        let deployment = self.deployments.get(name).await.map_err(failure)?;
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation, "replicas": replicas,
            "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        }});
        self.deployments.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.map_err(failure)?;
        Ok(())
    }

    /// Names of the services whose pods are to have the new image.
    async fn upgraded(&self) -> Result<BTreeSet<String>, Failure> {
        let list = self.deployments.list(&ListParams::default()).await.map_err(failure)?;
        let image = |deployment: &Deployment| {
            let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
            spec.containers.first()?.image.clone()
        };
        Ok(list.iter().filter(|one| image(one).as_deref() == Some(NEW)).map(ResourceExt::name_any).collect())
    }

    /// Waits until so many have the new image and all others say that they wait.
    async fn settled(&self, upgraded: usize) -> Result<(BTreeSet<String>, BTreeSet<String>), Failure> {
        eventually("the upgrade", || async {
            let done = self.upgraded().await?;
            let mut waiting = BTreeSet::new();
            let services: Api<SentimentService> = Api::namespaced(self.client.clone(), &self.namespace);
            for one in services.list(&ListParams::default()).await.map_err(failure)? {
                let message = condition(&one, "Reconciling").map(|it| it.message).unwrap_or_default();
                if message.starts_with("waiting: 2 other services are rolling out") {
                    waiting.insert(one.name_any());
                }
            }
            ensure!(done.len() == upgraded, "{done:?} are upgraded, and {waiting:?} wait");
            let all = self.deployments.list(&ListParams::default()).await.map_err(failure)?.items.len();
            ensure!(waiting.len() == all - upgraded, "of {all} services {done:?} are upgraded, and {waiting:?} wait");
            Ok((done, waiting))
        })
        .await
    }

    async fn patch(&self, name: &str, spec: Value) -> Outcome {
        let services: Api<SentimentService> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = json!({ "spec": spec });
        services.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(failure)?;
        Ok(())
    }
}

/// Six services, two places: two roll out, four wait and serve; a complete rollout lets the next
/// one go; what a user asks for doesn't wait; a restart forgets nothing; waiting costs no request.
pub async fn in_turn() -> Outcome {
    // Its operators are of several releases, so no other may work on the same cluster.
    let server = ApiServer::start().await?;
    crate::install_crd(&server.client).await?;
    let client = server.client.clone();
    let namespace = namespace(&client, "upgrading").await?;
    let fleet = Fleet {
        deployments: Api::namespaced(client.clone(), &namespace),
        client: client.clone(),
        namespace: namespace.clone(),
    };

    let old = Release::start(&server, OLD)?;
    for name in SERVICES {
        service(&client, &namespace, name, json!({"replicas": 2})).await.map_err(failure)?;
    }
    for name in SERVICES {
        eventually("the Deployment", || async { fleet.deployments.get(name).await.map_err(failure) }).await?;
        fleet.complete(name).await?;
        eventually("serving", || ready(&client, &namespace, name, "True", "Serving")).await?;
    }
    old.end().await?;

    let new = Release::start(&server, NEW)?;
    let (first, waiting) = fleet.settled(PLACES).await?;
    for name in &waiting {
        let message = ready(&client, &namespace, name, "True", "Serving").await?;
        ensure!(message == "2 of 2 replicas serve", "{name} serves while it waits: {message}");
        let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
        let image = services.get(name).await.map_err(failure)?.status.and_then(|status| status.image);
        ensure!(image.as_deref() == Some(OLD), "{name} says that it runs {image:?}");
    }
    let gauges = [new.value("rollouts_in_progress"), new.value("rollouts_waiting"), new.value("rollouts_limit")];
    ensure!(gauges == ["2", "4", "2"], "the gauges are {gauges:?}");

    // Waiting costs nothing, once the words of what began have been written.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = requests(&new.metrics);
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(requests(&new.metrics) == before, "requests went from {before:?} to {:?}", requests(&new.metrics));

    // A rollout is complete: one more goes.
    let [done, rolling] = first.iter().collect::<Vec<_>>()[..] else { return Err(format!("{first:?}")) };
    fleet.complete(done).await?;
    let (second, _) = fleet.settled(PLACES + 1).await?;
    ensure!(second.is_superset(&first), "{second:?} went on after {first:?}");

    // What a user asks for goes at once: a new service, and a change of one that waits.
    service(&client, &namespace, "new", json!({})).await.map_err(failure)?;
    let (_, waiting) = fleet.settled(PLACES + 2).await?;
    let [impatient, edited, last] = waiting.iter().collect::<Vec<_>>()[..] else { return Err(format!("{waiting:?}")) };
    fleet.patch(impatient, json!({"profile": "Staging"})).await?;
    fleet.settled(PLACES + 3).await?;

    // A hand edit outside the template is put back while the template waits.
    let edit = json!({"spec": {"replicas": 7}});
    fleet.deployments.patch(edited, &PatchParams::default(), &Patch::Merge(&edit)).await.map_err(failure)?;
    eventually("the repair", || async {
        let spec = fleet.deployments.get(edited).await.map_err(failure)?.spec.unwrap_or_default();
        ensure!(spec.replicas == Some(2), "replicas are {:?}", spec.replicas);
        Ok(())
    })
    .await?;
    ensure!(fleet.upgraded().await?.len() == PLACES + 3, "the repair took the new template along");
    fleet.complete(edited).await?;

    // Another leader takes over: the places that are taken stay taken.
    new.end().await?;
    let next = Release::start(&server, NEW)?;
    eventually("the next leader", || async {
        let gauges = [next.value("rollouts_in_progress"), next.value("rollouts_waiting")];
        ensure!(gauges == ["2", "2"], "the gauges are {gauges:?}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(fleet.upgraded().await?.len() == PLACES + 3, "the next leader forgot who rolls out");

    // One that rolls out is deleted: its place is free when its Deployment is gone.
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    services.delete(rolling, &DeleteParams::default()).await.map_err(failure)?;
    fleet.deployments.delete(rolling, &DeleteParams::background()).await.map_err(failure)?;
    fleet.settled(PLACES + 3).await?;

    // The rest follows to the end, and nothing is left behind.
    eventually("the last one", || async {
        for name in fleet.upgraded().await? {
            fleet.complete(&name).await?;
        }
        ensure!(fleet.upgraded().await?.contains(last), "{last} waits");
        let gauges = [next.value("rollouts_in_progress"), next.value("rollouts_waiting")];
        ensure!(gauges == ["0", "0"], "the gauges are {gauges:?}");
        for deployment in fleet.deployments.list(&ListParams::default()).await.map_err(failure)? {
            let name = deployment.name_any();
            ensure!(!deployment.annotations().contains_key("kubesentiment.io/rollout"), "{name} still rolls out");
            ready(&client, &namespace, &name, "True", "Serving").await?;
        }
        Ok(())
    })
    .await?;
    next.end().await
}
