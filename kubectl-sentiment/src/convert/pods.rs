//! What resources of every kind say of pods and containers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Draft, Fields};

const SCHEDULING: [&str; 6] =
    ["nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName", "runtimeClassName"];
const PROBES: [(&str, &str); 3] =
    [("startupProbe", "startup"), ("livenessProbe", "liveness"), ("readinessProbe", "readiness")];

/// The fields of a `PodSpec`, but for its containers.
pub fn pod(draft: &mut Draft, pod: &mut Fields) {
    draft.put("serviceAccountName", pod.take("serviceAccountName"));
    draft.put("image.pullSecrets", pod.take("imagePullSecrets"));
    for name in SCHEDULING {
        draft.put(&format!("scheduling.{name}"), pod.take(name));
    }
    draft.leave(
        pod,
        "securityContext",
        "none to set: pods are always restricted; security.userIds: Platform for OpenShift",
    );
    for name in ["initContainers", "volumes"] {
        draft.leave(pod, name, "pods have no others");
    }
    // What the API server adds to a PodSpec by itself.
    for (name, default) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
    ] {
        if let Some(value) = pod.take(name).filter(|value| *value != default) {
            draft.left_out(pod.path(name), &format!("{value} can't be set"));
        }
    }
}

/// The fields of a container, but for its arguments. Variables with these names are handed back.
pub fn container(draft: &mut Draft, container: &mut Fields, names: &[&str]) -> BTreeMap<String, Value> {
    resources(draft, container);
    for (theirs, ours) in PROBES {
        let mut probe = container.object(theirs);
        for name in ["failureThreshold", "initialDelaySeconds", "periodSeconds", "timeoutSeconds"] {
            draft.put(&format!("probes.{ours}.{name}"), probe.take(name));
        }
        // Paths and ports are the operator's.
        for name in ["httpGet", "tcpSocket", "exec", "grpc", "successThreshold"] {
            probe.take(name);
        }
        draft.rest(probe);
    }
    for name in ["name", "ports", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"] {
        container.take(name);
    }
    draft.leave(
        container,
        "image",
        "there is one server, whose image the operator knows; spec.image names another of it",
    );
    draft.leave(container, "command", "the server has its own");
    draft.leave(container, "securityContext", "none to set: pods are always restricted");
    draft.leave(container, "volumeMounts", "pods have no others");
    let mut known = BTreeMap::new();
    let (mut others, mut listed) = (Vec::new(), Vec::new());
    for variable in container.list("env") {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        if names.contains(&name.as_str()) {
            known.insert(name, variable);
        } else {
            listed.push(name);
            others.push(variable);
        }
    }
    if !others.is_empty() {
        draft.set("env", others);
        draft.by_hand(format!(
            "see what this server makes of {}: docs/settings.md has its variables",
            listed.join(", ")
        ));
    }
    draft.put("envFrom", container.take("envFrom"));
    known
}

fn resources(draft: &mut Draft, container: &mut Fields) {
    let mut resources = container.object("resources");
    for kind in ["requests", "limits"] {
        let mut amounts = resources.object(kind);
        for name in ["cpu", "memory", "ephemeral-storage"] {
            draft.put(&format!("resources.{kind}.{name}"), amounts.take(name));
        }
        for (path, _) in amounts.left() {
            draft.left_out(path, "the server runs on CPUs");
        }
    }
    if draft.has("resources") {
        draft.by_hand("the resources are those of another server: docs/sizing.md has what this one takes");
    }
    draft.rest(resources);
}

/// `rollingUpdate` of a Deployment's strategy.
pub fn strategy(draft: &mut Draft, strategy: Fields) {
    let mut strategy = strategy;
    let mut update = strategy.object("rollingUpdate");
    for name in ["maxSurge", "maxUnavailable"] {
        draft.put(&format!("rollout.{name}"), update.take(name));
    }
    draft.rest(update);
    if let Some(kind) = strategy.text("type").filter(|kind| kind != "RollingUpdate") {
        draft
            .left_out(strategy.path("type"), &format!("{kind} isn't there: rollout says how many pods may be missing"));
    }
    draft.rest(strategy);
}

/// A reference to a key of a Secret in a variable, if it holds one.
pub fn secret_of(variable: &Value) -> Option<Value> {
    let reference = variable["valueFrom"]["secretKeyRef"].as_object()?;
    let field = |name: &str| reference.get(name).cloned().unwrap_or_default();
    Some(json!({"name": field("name"), "key": field("key")}))
}

/// A target of an autoscaler for CPU or memory, in per cent.
pub fn target(resource: &str) -> Option<&'static str> {
    match resource {
        "cpu" => Some("autoscaling.targetCPUUtilizationPercentage"),
        "memory" => Some("autoscaling.targetMemoryUtilizationPercentage"),
        _ => None,
    }
}

/// Words of a command line as names with values: `--name=value`, `--name value`, and `--name` alone.
pub fn flags(arguments: &[Value]) -> Vec<(String, Option<String>)> {
    let words: Vec<String> =
        arguments.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), ToOwned::to_owned)).collect();
    let mut flags = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None if word.starts_with('-') => (word, words.next_if(|next| !next.starts_with("--"))),
            None => (word, None),
        };
        flags.push((name, value));
    }
    flags
}
