//! The real node that `make cluster` starts, with the operator that `make deploy` installs.

use std::{fs, path::PathBuf, process::Command};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{Failure, ensure, failure, repository};

/// The namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "kubesentiment-system";

/// The pod of the operator that works, by the Lease that it holds.
pub async fn leader(client: &Client) -> Result<String, Failure> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.get("kubesentiment-operator").await.map_err(failure)?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    holder.ok_or_else(|| "nobody holds the lease".to_owned())
}

/// An administrator's client of the node.
pub async fn client() -> Result<Client, Failure> {
    let path = kubeconfig();
    let config = Kubeconfig::read_from(&path)
        .map_err(|error| format!("{}: {error}; run `make deploy` first", path.display()))?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.map_err(failure)?;
    Client::try_from(config).map_err(failure)
}

/// Of the node with the number in `KUBESENTIMENT_NODE`, as the scripts of `e2e/cluster` have it.
fn kubeconfig() -> PathBuf {
    let number = std::env::var("KUBESENTIMENT_NODE").unwrap_or_default();
    let suffix = if matches!(number.as_str(), "" | "0") { String::new() } else { format!("-{number}") };
    repository().join(format!(".cluster/kubeconfig{suffix}"))
}

/// Runs kubectl, and returns what it prints, or both streams when it fails.
pub fn kubectl(arguments: &[&str]) -> Result<String, Failure> {
    run(cluster_program("kubectl").args(arguments))
}

/// Runs helm, and returns what it prints, or both streams when it fails.
pub fn helm(arguments: &[&str]) -> Result<String, Failure> {
    run(cluster_program("helm").args(arguments))
}

/// A program that works on the node, taken from the machine or from what the node's scripts built.
#[must_use]
pub fn cluster_program(name: &str) -> Command {
    let path = format!("{}:{}", std::env::var("PATH").unwrap_or_default(), repository().join(".cluster/bin").display());
    let mut command = Command::new(name);
    command.env("PATH", path).env("KUBECONFIG", kubeconfig());
    command
}

/// Starts programs beside the node's own, such as `flux`; see `e2e/cluster/addon.sh`.
pub fn addon(name: &str) -> Result<(), Failure> {
    script("e2e/cluster/addon.sh", &[name]).map(drop)
}

/// Runs a script of this repository, and returns what it prints, or both streams when it fails.
pub fn script(path: &str, arguments: &[&str]) -> Result<String, Failure> {
    run(Command::new(repository().join(path)).args(arguments))
}

/// Runs a command in the network of the node, from where pods and Services are reached.
pub fn in_node(arguments: &[&str]) -> Result<String, Failure> {
    run(&mut node_command(arguments))
}

/// A command in the network of the node, to be started by the caller.
#[must_use]
pub fn node_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(repository().join("e2e/cluster/exec.sh"));
    command.args(arguments);
    command
}

/// Asks a server for the label of a text.
pub fn predict(address: &str, text: &str) -> Result<Value, Failure> {
    ask(address, "/predict", Some(&json!({"text": text})))
}

/// What a server answers on a connection of its own: to a POST of this body, or to a GET without one.
pub fn ask(address: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let url = format!("http://{address}/api/v1{path}");
    let body = body.map(ToString::to_string);
    let mut command = vec!["curl", "-sS", "--fail-with-body", "--max-time", "10", &url];
    if let Some(body) = &body {
        command.extend(["-H", "content-type: application/json", "-d", body]);
    }
    let answer = in_node(&command)?;
    serde_json::from_str(&answer).map_err(|error| format!("{error} in {answer}"))
}

fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    Ok(text(&output.stdout))
}

/// The process of a pod whose program is this file of its image, as the host numbers it.
pub fn process_of(pod: &Pod, program: &str) -> Result<u32, Failure> {
    let uid = pod.metadata.uid.as_deref().unwrap_or("no uid");
    for entry in fs::read_dir("/proc").map_err(failure)?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let runs = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.as_os_str() == program);
        if runs && fs::read_to_string(entry.path().join("cgroup")).is_ok_and(|groups| groups.contains(uid)) {
            return Ok(process);
        }
    }
    Err(format!("{program} doesn't run in pod {uid}"))
}

/// Sends a signal, such as `STOP`, to a process of the node.
pub fn signal(process: u32, signal: &str) -> Result<(), Failure> {
    run(Command::new("kill").args([format!("-{signal}"), process.to_string()])).map(drop)
}

/// What the cluster says of all services and pods, to explain a failure.
#[must_use]
pub fn scene() -> String {
    let parts: [&[&str]; 3] = [
        &["get", "ssvc,pods", "-A", "-o", "wide"],
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        &["-n", OPERATOR_NAMESPACE, "logs", "deployment/kubesentiment-operator", "--tail=20"],
    ];
    parts.iter().map(|arguments| kubectl(arguments).unwrap_or_else(|error| error)).collect::<Vec<_>>().join("\n")
}
