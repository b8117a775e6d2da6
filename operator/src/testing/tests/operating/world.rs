//! A cluster around the operator: who makes services, who runs their pods, and what is seen of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    controller::Operator,
    digests::{Answer, AskPods, Digest, NoAnswer},
    fixtures::default_image,
    hash::fnv1a,
    lock::lock,
    metrics::Metrics,
    runtime::client::over,
    testing::Server,
    validate::ModelHosts,
    watches::Scope,
};

/// Longer than anything that isn't a time-out.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// What runs pods.
const CONTROLLER: &str = "kube-controller-manager";

/// A server, and the operator on it. All is in namespace `demo`, and the service is `reviews` where none is named.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) models: Models,
    /// Where the operator lets models come from; empty for anywhere.
    pub(super) model_hosts: Vec<String>,
    metrics: Metrics,
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

/// What the servers in all pods say of their models. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Models(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    /// The digest; without one they are too old to tell.
    digest: Option<String>,
    /// Whether none answers.
    silent: bool,
    /// Whom the operator has asked what.
    asked: Vec<String>,
}

impl Models {
    /// From now on they say this.
    pub(super) fn say(&self, digest: &str) {
        let mut said = lock(&self.0);
        (said.digest, said.silent) = (Some(digest.to_owned()), false);
    }

    /// From now on none answers.
    pub(super) fn fall_silent(&self) {
        lock(&self.0).silent = true;
    }

    /// Whom the operator has asked what.
    pub(super) fn asked(&self) -> Vec<String> {
        lock(&self.0).asked.clone()
    }
}

impl AskPods for Models {
    fn ask(&self, pod: SocketAddr, path: String) -> BoxFuture<'static, Answer> {
        let mut said = lock(&self.0);
        said.asked.push(format!("{pod}{path}"));
        let answer = match (said.silent, &said.digest) {
            (true, _) => Err(NoAnswer::Late),
            (false, None) => Ok(None),
            (false, Some(digest)) => Ok(Some(Digest::parse(digest).unwrap())),
        };
        async { answer }.boxed()
    }
}

/// Kind and group of a child, as paths have them.
pub(super) const DEPLOYMENT: (&str, &str) = ("apps", "deployments");
pub(super) const SERVICE: (&str, &str) = ("", "services");
pub(super) const ROUTE: (&str, &str) = ("gateway.networking.k8s.io", "httproutes");
pub(super) const GRPC_ROUTE: (&str, &str) = ("gateway.networking.k8s.io", "grpcroutes");
pub(super) const AUTOSCALER: (&str, &str) = ("autoscaling", "horizontalpodautoscalers");

impl World {
    /// A server without an operator.
    pub(super) fn new() -> Self {
        let (server, metrics, stop) = (Server::new(), Metrics::default(), CancellationToken::new());
        let (models, model_hosts) = (Models::default(), Vec::new());
        Self { server, models, model_hosts, metrics, stop, ready: Arc::default(), running: None }
    }

    /// A service of this spec that serves, and an operator that has nothing left to do.
    pub(super) async fn serving(spec: Value) -> Self {
        let mut world = Self::new();
        world.ask_for(spec);
        world.start();
        world.settles().await;
        world.settles().await;
        assert_eq!(world.reason(), "Serving", "{:#}", world.status());
        world
    }

    /// Starts the operator.
    pub(super) fn start(&mut self) {
        (self.metrics, self.stop, self.ready) = (Metrics::default(), CancellationToken::new(), Arc::default());
        let client = over(self.server.service(), &self.metrics.api_requests);
        let operator = Operator::new(client, default_image(), self.metrics.clone());
        let operator = operator.model_hosts(ModelHosts::new(&self.model_hosts).unwrap());
        let operator = Arc::new(operator.ask_pods(Arc::new(self.models.clone())));
        let (stop, ready) = (self.stop.clone(), self.ready.clone());
        self.running = Some(tokio::spawn(async move {
            operator.run(&[Scope::Cluster], 8, move || ready.store(true, Ordering::Relaxed), stop).await;
        }));
    }

    /// Ends the operator.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    /// Ends the operator, and starts another that knows nothing.
    pub(super) async fn restart(&mut self) {
        self.stop().await;
        self.start();
        sleep(SOON).await;
    }

    /// Whether the operator has said that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// A line of the operator's metrics, without its prefix.
    pub(super) fn metric(&self, line: &str) -> usize {
        let text = self.metrics.render().unwrap();
        let start = format!("kubesentiment_operator_{line} ");
        text.lines().find_map(|found| found.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
    }

    /// Looks that the operator took at a service.
    pub(super) fn looks(&self) -> usize {
        ["success", "error"].map(|result| self.metric(&format!("reconciles_total{{result=\"{result}\"}}"))).iter().sum()
    }

    /// Creates the service, or changes its spec.
    pub(super) fn ask_for(&self, spec: Value) {
        self.ask_for_another("reviews", spec);
    }

    pub(super) fn ask_for_another(&self, name: &str, spec: Value) {
        let stored = self.server.get("kubesentiment.io", "sentimentservices", "demo", name);
        let mut object = stored.unwrap_or_else(|| {
            json!({
                "apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService",
                "metadata": {"name": name, "namespace": "demo"},
            })
        });
        object["spec"] = spec;
        self.server.put_as("kubectl", object);
    }

    /// Has somebody touch the service, so that it is looked at.
    pub(super) fn touch(&self) {
        self.server.edit("kubesentiment.io", "sentimentservices", "demo", "reviews", "kubectl", |object| {
            let count = object["metadata"]["annotations"]["touched"].as_str().map_or(0, |text| text.parse().unwrap());
            object["metadata"]["annotations"]["touched"] = json!((count + 1).to_string());
        });
    }

    pub(super) fn status_of(&self, name: &str) -> Value {
        self.server.get("kubesentiment.io", "sentimentservices", "demo", name).unwrap_or_default()["status"].take()
    }

    pub(super) fn status(&self) -> Value {
        self.status_of("reviews")
    }

    pub(super) fn reason_of(&self, name: &str) -> String {
        self.status_of(name).pointer("/conditions/0/reason").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn reason(&self) -> String {
        self.reason_of("reviews")
    }

    pub(super) fn message(&self) -> String {
        self.status().pointer("/conditions/0/message").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A child as it is stored.
    pub(super) fn child(&self, (group, resource): (&str, &str)) -> Option<Value> {
        self.server.get(group, resource, "demo", "reviews")
    }

    pub(super) fn deployment(&self) -> Value {
        self.child(DEPLOYMENT).unwrap()
    }

    pub(super) fn replicas(&self) -> Value {
        self.deployment()["spec"]["replicas"].clone()
    }

    /// Changes a child by hand.
    pub(super) fn edit(&self, (group, resource): (&str, &str), edit: impl FnOnce(&mut Value)) {
        assert!(self.server.edit(group, resource, "demo", "reviews", "kubectl-edit", edit));
    }

    pub(super) fn delete(&self, (group, resource): (&str, &str)) {
        assert!(self.server.remove(group, resource, "demo", "reviews").is_some());
    }

    /// The managers of the Deployment, each as `NAME OPERATION`.
    pub(super) fn managers(&self) -> Vec<String> {
        self.server.managers("apps", "deployments", "demo", "reviews")
    }

    /// The requests so far.
    pub(super) fn mark(&self) -> usize {
        self.server.faults().seen().len()
    }

    /// The requests since then, but for lists and watches.
    pub(super) fn asked_since(&self, mark: usize) -> Vec<String> {
        let is_look = |request: &String| request.starts_with("watch ") || request.starts_with("list ");
        self.server.faults().seen().split_off(mark).into_iter().filter(|request| !is_look(request)).collect()
    }

    /// How often that was asked since then.
    pub(super) fn count_since(&self, mark: usize, request: &str) -> usize {
        self.asked_since(mark).iter().filter(|asked| *asked == request).count()
    }

    /// How often an Event of this reason was told.
    pub(super) fn told(&self, reason: &str) -> u64 {
        let events = self.server.all("events.k8s.io", "events");
        let of_reason = events.iter().filter(|event| event["reason"] == reason);
        of_reason.map(|event| event["series"]["count"].as_u64().unwrap_or(1)).sum()
    }

    /// Time passes, the pods are made, and the operator sees it.
    pub(super) async fn settles(&self) {
        sleep(SOON).await;
        for service in self.server.all("kubesentiment.io", "sentimentservices") {
            self.rolls_out(service["metadata"]["name"].as_str().unwrap());
        }
        sleep(SOON).await;
    }

    /// What Kubernetes does for a Deployment: a ReplicaSet, pods that serve, and a status.
    pub(super) fn rolls_out(&self, name: &str) {
        let Some(deployment) = self.server.get("apps", "deployments", "demo", name) else { return };
        let template = &deployment["spec"]["template"];
        let set = format!("{name}-{:x}", fnv1a(template.to_string().as_bytes()));
        let of = |kind: &str, object: &Value| {
            json!([{
                "apiVersion": "apps/v1", "kind": kind, "name": object["metadata"]["name"],
                "uid": object["metadata"]["uid"], "controller": true,
            }])
        };
        let live = self.server.get("apps", "replicasets", "demo", &set);
        let replica_set = live.unwrap_or_else(|| {
            let revision = self.server.all("apps", "replicasets").len() + 1;
            self.server.put_as(
                CONTROLLER,
                json!({
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {
                        "name": set, "namespace": "demo", "labels": template["metadata"]["labels"],
                        "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
                        "ownerReferences": of("Deployment", &deployment),
                    },
                }),
            )
        });
        for pod in self.server.all("", "pods") {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            if pod.starts_with(&format!("{name}-")) && !pod.starts_with(&set) {
                self.server.remove("", "pods", "demo", pod);
            }
        }
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        for number in 0..replicas {
            self.server.put_as(
                CONTROLLER,
                json!({
                    "apiVersion": "v1", "kind": "Pod", "metadata": {
                        "name": format!("{set}-{number}"), "namespace": "demo", "labels": template["metadata"]["labels"],
                        "ownerReferences": of("ReplicaSet", &replica_set),
                    },
                    "status": {
                        "phase": "Running", "podIP": format!("192.0.2.{number}"), "conditions": [{"type": "Ready", "status": "True"}],
                        "containerStatuses": [{
                            "name": "sentiment", "image": "s", "imageID": "s@sha256:0123", "ready": true, "restartCount": 0,
                            "state": {"running": {}},
                        }],
                    },
                }),
            );
        }
        self.server.edit("apps", "deployments", "demo", name, CONTROLLER, |object| {
            let revision = &replica_set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = revision.clone();
            object["status"] = json!({
                "observedGeneration": object["metadata"]["generation"], "replicas": replicas,
                "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            });
        });
    }
}
