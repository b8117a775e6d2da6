//! `make bench`: how near the server comes to what ONNX Runtime can do on this machine.
//!
//! One run, a few minutes. `BENCH_SECONDS` sets the length of each row (default 6).

#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#![allow(clippy::unwrap_used, reason = "a failed measurement is a failed run")]
#![allow(missing_docs, reason = "a program")]

mod limit;
mod load;
mod server;
mod texts;

use std::{env, path::Path, time::Duration};

use inference_server::{
    config::{Config, Environment},
    startup::usable_cpus,
};
use limit::Limit;
use load::Run;
use server::{Done, Server};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let model = env::var("MLOPS_ONNX_MODEL_PATH").unwrap_or(root.join("models/default").display().to_string());
    let library = env::var("ORT_DYLIB_PATH").unwrap_or_default();
    if !root.join(&library).is_file() {
        eprintln!("ORT_DYLIB_PATH is {library:?}, where no ONNX Runtime is: run `make bench`, which fetches it");
        std::process::exit(1);
    }
    let seconds = env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let row = Duration::from_secs(seconds);
    let settings: Environment = [("MLOPS_ONNX_MODEL_PATH".to_owned(), model.clone())].into();
    let config = Config::read(&settings).unwrap();
    // Without the cache: each text is to cost a run of the model.
    let settings = [
        ("MLOPS_ONNX_MODEL_PATH", model.as_str()),
        ("MLOPS_MAX_TEXT_LENGTH", "10000"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
    ];
    let cpus = usable_cpus();

    let sentences = texts::sentences(2000);
    let limit = limit::measure(&config, cpus, &sentences, row / 3);
    println!(
        "\n{cpus} CPUs. Sentences of {:.1} tokens on average. Engine limit {:.1}/s: {}",
        limit.mean_tokens, limit.per_second, limit.setting
    );

    let requests = load::requests(&sentences);
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(Server::start(&settings, &requests[0]).await.first_answer.as_millis());
    }
    starts.sort_unstable();
    println!("process start to first answer: {} ms (median of {}, best {})", starts[2], starts.len(), starts[0]);

    let server = Server::start(&settings, &requests[0]).await;
    print_memory(&server, "after the first answer");
    println!("\n{HEADER}");
    let mut peak: f64 = 0.0;
    for connections in [1, 8, 32, 128] {
        load::closed(&server.address, &requests, connections, Duration::from_secs(1)).await;
        let before = server.done().await;
        let run = load::closed(&server.address, &requests, connections, row).await;
        peak = peak.max(run.accepted());
        print_row(&format!("closed loop, {connections} connections"), &run, &limit, &server, &before).await;
    }
    for percent in [80, 300] {
        let rate = peak * f64::from(percent) / 100.0;
        let before = server.done().await;
        let run = load::open(&server.address, &requests, rate, row).await;
        print_row(&format!("open loop, {percent}% of the peak"), &run, &limit, &server, &before).await;
        let refused = |sample: &load::Sample| sample.status == 503;
        let count = run.samples.iter().filter(|sample| refused(sample)).count();
        if count > 0 {
            let (p50, p99) = (run.percentile(50, refused), run.percentile(99, refused));
            println!(
                "    refused with 503: {count}, in {p50:.1} ms p50, {p99:.1} ms p99; of the peak {:.2}",
                run.accepted() / peak
            );
        }
    }
    print_memory(&server, "at the end");
    drop(server);
    mixed(&config, cpus, &settings, row).await;
}

/// Short and long texts together: the short must not wait behind the long.
async fn mixed(config: &Config, cpus: usize, settings: &[(&str, &str)], row: Duration) {
    let texts = texts::mixed(400);
    println!();
    let limit = limit::measure(config, cpus, &texts, row / 3);
    println!(
        "\nTexts of 3 to 400 tokens, {:.1} on average. Engine limit {:.1}/s: {}",
        limit.mean_tokens, limit.per_second, limit.setting
    );
    let requests = load::requests(&texts);
    let server = Server::start(settings, &requests[0]).await;
    println!("\n{HEADER}");
    load::closed(&server.address, &requests, 32, Duration::from_secs(1)).await;
    let before = server.done().await;
    let run = load::closed(&server.address, &requests, 32, row * 2).await;
    print_row("closed loop, 32 connections", &run, &limit, &server, &before).await;
    for (name, even) in [("short", 0), ("long", 1)] {
        let select = |sample: &load::Sample| sample.text % 2 == even;
        let (p50, p99) = (run.percentile(50, select), run.percentile(99, select));
        println!("    {name} texts: p50 {p50:.1} ms, p99 {p99:.1} ms, ratio {:.1}", p99 / p50);
    }
}

const HEADER: &str = "load                              accepted/s   p50 ms   p99 ms   of limit   by CPU time   batch   padding   RSS MiB";

async fn print_row(name: &str, run: &Run, limit: &Limit, server: &Server, before: &Done) {
    let accepted = |sample: &load::Sample| sample.status == 200;
    let after = server.done().await;
    println!(
        "{name:<32} {:>11.1} {:>8.1} {:>8.1} {:>10.3} {:>13.3} {:>7.1} {:>8.1}% {:>9.1}",
        run.accepted(),
        run.percentile(50, accepted),
        run.percentile(99, accepted),
        run.accepted() / limit.per_second,
        run.accepted() * run.time.as_secs_f64() / (after.cpu_seconds - before.cpu_seconds) / limit.per_cpu_second,
        (after.texts - before.texts) / (after.runs - before.runs),
        100.0 * (after.padding - before.padding) / (after.tokens - before.tokens),
        server.memory("VmRSS"),
    );
}

fn print_memory(server: &Server, when: &str) {
    println!(
        "memory {when}: {:.1} MiB resident, of it {:.1} MiB of its own and {:.1} MiB of mapped files; peak {:.1} MiB",
        server.memory("VmRSS"),
        server.memory("RssAnon"),
        server.memory("RssFile"),
        server.memory("VmHWM"),
    );
}
