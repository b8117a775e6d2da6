//! What somebody sees who follows a change from a terminal.

use std::{io::Read, process::Stdio};

use kube::Client;
use kubesentiment_e2e::{
    Outcome,
    cluster::{cluster_program, kubectl},
    ensure, eventually, failure, ready,
};
use serde_json::json;

use super::{failing::fails, serving::serving};

/// `kubectl get -w` tells a rollout from its begin to its end, and `kubectl wait` returns then.
pub async fn progress(client: Client) -> Outcome {
    // New pods take their time, so that there is something to see.
    let spec = json!({"replicas": 1, "probes": {"readiness": {"initialDelaySeconds": 3}}});
    let (namespace, _) = serving(&client, "progress", spec).await?;
    let mut watch = cluster_program("kubectl")
        .args(["-n", &namespace, "get", "ssvc", "reviews", "--watch", "--no-headers"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failure)?;
    let followed = follow(&client, &namespace).await;
    watch.kill().map_err(failure)?;
    let mut seen = String::new();
    watch.stdout.take().ok_or("no output")?.read_to_string(&mut seen).map_err(failure)?;
    watch.wait().map_err(failure)?;
    followed?;

    // READY, REASON and AVAILABLE of each line.
    let states: Vec<[&str; 3]> = seen
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            Some([*columns.get(1)?, *columns.get(2)?, *columns.get(4)?])
        })
        .collect();
    let mut rest = states.iter();
    for wanted in [
        ["True", "Serving", "1"],
        ["False", "RollingOut", "1"],
        ["True", "Serving", "2"],
        ["False", "RollingOut", "2"],
        ["True", "Serving", "2"],
    ] {
        ensure!(rest.any(|state| *state == wanted), "{wanted:?} doesn't come in its turn in\n{seen}");
    }
    Ok(())
}

/// One more replica, then a rollout of both, each to its end.
async fn follow(client: &Client, namespace: &str) -> Outcome {
    kubectl(&["-n", namespace, "scale", "ssvc", "reviews", "--replicas=2"])?;
    kubectl(&[
        "-n",
        namespace,
        "wait",
        "--for=jsonpath={.status.availableReplicas}=2",
        "ssvc/reviews",
        "--timeout=60s",
    ])?;
    kubectl(&["-n", namespace, "wait", "--for=condition=Ready", "ssvc/reviews", "--timeout=60s"])?;
    let change = r#"{"spec":{"podMetadata":{"annotations":{"round":"two"}}}}"#;
    kubectl(&["-n", namespace, "patch", "ssvc", "reviews", "--type=merge", "--patch", change])?;
    // `kubectl wait` looks at no generation: what was true a moment ago would satisfy it.
    fails(client, namespace, "RollingOut", &["replicas are of the current spec"]).await?;
    kubectl(&["-n", namespace, "wait", "--for=condition=Ready", "ssvc/reviews", "--timeout=60s"])?;
    eventually("the end", || ready(client, namespace, "reviews", "True", "Serving")).await.map(drop)
}
