//! One text, asked again and again: what HTTP and the cache cost. Measured with wrk, since at such
//! rates a client of our own would be what is measured.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use inference_server::process;

use crate::{load, server::Server};

/// Prints the row, or what to install for it.
pub fn measure(model: &str, root: &Path, time: Duration) {
    let request = load::requests(&["I love this product".to_owned()])[0].clone();
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", model)], &request);
    let usage = || process::usage_of(&server.id()).unwrap().cpu_seconds;
    let (start, before) = (Instant::now(), usage());
    let wrk = Command::new("wrk")
        .args(["--threads", "1", "--connections", "32", "--duration", &format!("{}s", time.as_secs().max(1))])
        .arg("--script")
        .arg(root.join("inference-server/benches/serve/cache_hits.lua"))
        .arg(format!("http://{}/api/v1/predict", server.address))
        .output();
    let (cpu, took) = (usage() - before, start.elapsed().as_secs_f64());
    let Ok(wrk) = wrk else {
        println!("cache hits: not measured, for want of wrk: apt-get install wrk");
        return;
    };
    let output = String::from_utf8_lossy(&wrk.stdout);
    assert!(wrk.status.success() && !output.contains("Non-2xx"), "wrk: {output}");
    let value = |name: &str| output.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_default().trim();
    let per_second: f64 = value("Requests/sec:").parse().unwrap();
    println!(
        "cache hits: {per_second:.0}/s by wrk, {:.0} for each second of the server's CPU time, of which it used {:.2} cores",
        per_second * took / cpu,
        cpu / took
    );
}
