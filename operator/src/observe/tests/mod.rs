#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

mod containers;
mod models;
mod parts;
mod rollout;
mod silence;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    api::Reason,
    apply::MissingApi,
    facts::{Autoscaler, Deployment, Eviction, Pod, Route},
    fixtures::valid,
};

/// The time in all cases.
const NOW: &str = "2026-01-01T12:00:00Z";

/// A service, and what is known of it.
struct Case {
    spec: Value,
    generation: i64,
    replicas: Option<i32>,
    strategy: Value,
    status: Value,
    pods: Vec<Value>,
    missing: Vec<MissingApi>,
    eviction: Option<Eviction>,
    autoscaler: Option<Value>,
    route: Option<Value>,
    grpc_route: Option<Value>,
    warning: Option<&'static str>,
}

/// A service of which nothing is known but the Deployment's status.
fn case(spec: Value, status: Value) -> Case {
    Case {
        spec,
        generation: 1,
        replicas: None,
        strategy: json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        status,
        pods: Vec::new(),
        missing: Vec::new(),
        eviction: None,
        autoscaler: None,
        route: None,
        grpc_route: None,
        warning: None,
    }
}

impl Case {
    fn pods(self, pods: impl IntoIterator<Item = Value>) -> Self {
        Self { pods: pods.into_iter().collect(), ..self }
    }

    fn look(&self) -> Observation {
        self.see(observe)
    }

    fn see<T>(&self, see: impl FnOnce(&View<'_>) -> T) -> T {
        let service = valid(self.spec.clone());
        let spec = json!({"replicas": self.replicas, "selector": {}, "template": {}, "strategy": self.strategy});
        let metadata = json!({"generation": self.generation});
        let deployment = json!({"metadata": metadata, "spec": spec, "status": self.status});
        let deployment = Deployment::of(&serde_json::from_value(deployment).unwrap());
        let pods: Vec<Arc<Pod>> = self.pods.iter().map(|pod| Arc::new(facts_of(pod))).collect();
        let autoscaler = self.autoscaler.as_ref().map(|conditions| {
            let status = json!({"desiredReplicas": 2, "conditions": conditions});
            Autoscaler::of(&serde_json::from_value(json!({"status": status})).unwrap())
        });
        let facts = |route: &Value| Route::of(&serde_json::from_value(route.clone()).unwrap());
        let (route, grpc_route) = (self.route.as_ref().map(facts), self.grpc_route.as_ref().map(facts));
        see(&View {
            service: &service,
            deployment: &deployment,
            pods: &pods,
            missing: &self.missing,
            eviction: self.eviction.as_ref(),
            autoscaler: autoscaler.as_ref(),
            route: route.as_ref(),
            grpc_route: grpc_route.as_ref(),
            warning: self.warning,
            now: NOW.parse().unwrap(),
        })
    }

    fn verdict(&self) -> (Reason, String) {
        let Verdict { reason, message } = self.look().verdict;
        (reason, message)
    }
}

fn facts_of(pod: &Value) -> Pod {
    Pod::of(&serde_json::from_value(pod.clone()).unwrap())
}

/// The time so many seconds before [`NOW`].
fn ago(seconds: i64) -> String {
    let now: Timestamp = NOW.parse().unwrap();
    (now - SignedDuration::from_secs(seconds)).to_string()
}

fn counts(total: i32, updated: i32, available: i32) -> Value {
    json!({
        "observedGeneration": 1,
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
    })
}

/// A container's status, with what a kubelet always says of one.
fn container(name: &str, mut status: Value) -> Value {
    status["name"] = json!(name);
    let always = [("image", json!("s:1")), ("imageID", json!("")), ("restartCount", json!(0)), ("ready", json!(false))];
    for (key, value) in always {
        status.as_object_mut().unwrap().entry(key).or_insert(value);
    }
    status
}

/// A pod of one container.
fn pod(server: Value) -> Value {
    json!({"status": {"phase": "Running", "containerStatuses": [container("sentiment", server)]}})
}

/// The verdict on a pod of a service that hasn't finished its rollout.
fn failure(server: Value) -> (Reason, String) {
    case(json!({}), counts(3, 1, 2)).pods([pod(server)]).verdict()
}
