//! `make bench`, cluster part: image sizes, time from applied to ready, and memory, each beside its aim.

use std::{
    fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use kube::Client;
use kubesentiment_e2e::{Failure, cluster, eventually, failure, namespace, ready, repository, service, sweep};
use serde_json::json;
use tokio::runtime::Runtime;

/// An odd number, for the sake of the median.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let measured = Runtime::new().map_err(failure).and_then(|runtime| runtime.block_on(measure()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the figures can't be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Failure> {
    let client = cluster::client().await?;
    println!("{:<52} {:>10} {:>10} {:>7}", "figure", "measured", "aim", "ratio");
    for (image, aim) in [("sentiment-service:distroless", 80.0), ("kubesentiment-operator:distroless", 20.0)] {
        row(&format!("{image}, compressed"), compressed(image)?, aim, "MB");
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(applied_to_ready(&client).await?);
    }
    rounds.sort();
    row("applied to Ready, image present (median of 5)", rounds[ROUNDS / 2].as_secs_f64(), 4.0, "s");
    row("applied to Ready, image present (slowest of 5)", rounds[ROUNDS - 1].as_secs_f64(), 4.0, "s");

    let namespace = serving(&client).await?;
    // Idle is what is left after the last burst of events.
    tokio::time::sleep(Duration::from_secs(20)).await;
    row("operator, resident, idle", resident("/kubesentiment-operator")?, 20.0, "MiB");
    let bytes = |file| fs::metadata(repository().join("models/default").join(file)).map(|file| file.len());
    let model = bytes("model.onnx").map_err(failure)? + bytes("model.onnx.data").map_err(failure)?;
    row("server, resident, idle in its pod", resident("/app/sentiment-server")?, mebibytes(2 * model), "MiB");
    sweep(&client).await?;
    println!("measured in namespace {namespace} of a node on this machine");
    Ok(())
}

fn row(figure: &str, measured: f64, aim: f64, unit: &str) {
    println!(
        "{figure:<52} {:>10} {:>10} {:>7.2}",
        format!("{measured:.1} {unit}"),
        format!("{aim:.0} {unit}"),
        measured / aim
    );
}

/// A service of one pod that serves.
async fn serving(client: &Client) -> Result<String, Failure> {
    let namespace = namespace(client, "bench").await?;
    service(client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("serving", || ready(client, &namespace, "reviews", "True", "Serving")).await?;
    Ok(namespace)
}

async fn applied_to_ready(client: &Client) -> Result<Duration, Failure> {
    let namespace = namespace(client, "bench").await?;
    let began = Instant::now();
    service(client, &namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("serving", || ready(client, &namespace, "reviews", "True", "Serving")).await?;
    let took = began.elapsed();
    sweep(client).await?;
    // The pod of this round must not slow down the next.
    tokio::time::sleep(Duration::from_secs(10)).await;
    Ok(took)
}

/// Size in a registry, in millions of bytes.
fn compressed(image: &str) -> Result<f64, Failure> {
    let output = Command::new(repository().join("scripts/image-size.sh")).arg(image).output().map_err(failure)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes: u32 = text.trim().parse().map_err(|error| format!("{image}: {error} in {text:?}"))?;
    Ok(f64::from(bytes) / 1e6)
}

/// Resident memory in MiB of the largest process whose program is this file of a container image.
fn resident(program: &str) -> Result<f64, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failure)?.flatten() {
        if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.as_os_str() == program) {
            let status = fs::read_to_string(entry.path().join("status")).map_err(failure)?;
            let kibibytes: f64 = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
                .ok_or_else(|| format!("{} has no VmRSS", entry.path().display()))?;
            found.push(kibibytes / 1024.0);
        }
    }
    found.into_iter().max_by(f64::total_cmp).ok_or_else(|| format!("{program} doesn't run"))
}

fn mebibytes(bytes: u64) -> f64 {
    // Exact: a model is far smaller than 2^52 bytes.
    #[expect(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / 1024.0 / 1024.0
}
