//! `make bench`: how near the server comes to what ONNX Runtime can do on this machine.
//!
//! One run, some minutes. `BENCH_SECONDS` sets the length of each row (default 6), and
//! `BENCH_SECTIONS` which of int8, larger, mixed and hits are run (default all).

#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#![allow(clippy::unwrap_used, reason = "a failed measurement is a failed run")]
#![allow(missing_docs, reason = "a program")]

mod cache_hits;
mod limit;
mod load;
mod report;
mod server;
mod texts;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use inference_server::{
    config::{Config, Environment},
    cpus,
    engine::Layout,
};
use limit::{AsExported, Limit};
use load::Closed;
use report::{LEGEND, Table, print_memory};
use server::Server;

/// The server looks for memory to give back every 10 s.
const MEMORY_IS_BACK_AFTER: Duration = Duration::from_secs(12);

fn main() {
    native::run_soon_after_waking().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let library = env::var("ORT_DYLIB_PATH").unwrap_or_default();
    if !root.join(&library).is_file() {
        eprintln!("ORT_DYLIB_PATH is {library:?}, where no ONNX Runtime is: run `make bench`, which fetches it");
        std::process::exit(1);
    }
    let seconds = env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let row = Duration::from_secs(seconds);
    let sections = env::var("BENCH_SECTIONS").unwrap_or("int8,larger,mixed,hits".to_owned());
    let asked = |section: &str| sections.split(',').any(|asked| asked == section);
    let model = env::var("MLOPS_ONNX_MODEL_PATH").unwrap_or(root.join("models/default").display().to_string());
    println!("{} CPUs, which the load generator shares.\n{LEGEND}", cpus::usable());

    if asked("int8") {
        Subject::new(&model).sentences(row).await;
    }
    if asked("larger") {
        match larger_model(&root) {
            Ok(larger) => Subject::new(&larger.display().to_string()).sentences(row).await,
            Err(problem) => println!("\nlarger model: not measured: {problem}"),
        }
    }
    if asked("mixed") {
        Subject::new(&model).mixed(row).await;
    }
    if asked("hits") {
        println!();
        cache_hits::measure(&model, &root, row).await;
    }
}

/// A model of three times the default one's size, made on the first run.
fn larger_model(root: &Path) -> Result<PathBuf, String> {
    let folder = root.join(".cache/bench-model");
    let script = root.join("scripts/make-bench-model.sh");
    let made = Command::new(&script).arg(&folder).status().map_err(|error| error.to_string())?;
    if made.success() { Ok(folder) } else { Err(format!("{} failed: {made}", script.display())) }
}

/// A model under measurement.
struct Subject {
    path: PathBuf,
    config: Config,
    model_bytes: u64,
}

impl Subject {
    fn new(path: &str) -> Self {
        let settings: Environment =
            env::vars().chain([("MLOPS_ONNX_MODEL_PATH".to_owned(), path.to_owned())]).collect();
        let bytes = |file| std::fs::metadata(Path::new(path).join(file)).map_or(0, |file| file.len());
        let model_bytes = bytes("model.onnx") + bytes("model.onnx.data");
        Self { path: PathBuf::from(path), config: Config::read(&settings).unwrap(), model_bytes }
    }

    /// A server without the cache: each text is to cost a run of the model.
    async fn start(&self, request: &[u8]) -> Server {
        let settings = [
            ("MLOPS_ONNX_MODEL_PATH", self.path.to_str().unwrap()),
            ("MLOPS_MAX_TEXT_LENGTH", "10000"),
            ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ];
        Server::start(&settings, request).await
    }

    /// The engine limit is that of the model as it was exported. Beside it the same loop over what the
    /// server makes of it, for the reader.
    fn limit(&self, what: &str, texts: &[String], each: Duration) -> Limit {
        println!("\nModel {}, {what}", self.path.display());
        let exported = AsExported::of(&self.path);
        let mut config = self.config.clone();
        exported.path().clone_into(&mut config.model.path);
        let limit = limit::measure(&config, cpus::usable(), texts, each);
        assert_eq!(limit.layout, Layout::Padded, "the limit is that of the graph as exported");
        println!(
            "{:.1} tokens on average. Engine limit {:.1}/s: {}",
            limit.mean_tokens, limit.per_second, limit.setting
        );
        let served = limit::measure(&self.config, cpus::usable(), texts, each);
        println!(
            "the same loop over the graph that is served, {:?}: {:.1}/s, {:.3} of the limit: {}",
            served.layout,
            served.per_second,
            served.per_second / limit.per_second,
            served.setting
        );
        limit
    }

    /// Closed and open loops over sentences of about one length.
    async fn sentences(&self, row: Duration) {
        let sentences = texts::sentences(2000);
        let limit = self.limit("sentences", &sentences, row / 3);
        for in_hand in [8, 32, 128] {
            let reached = limit::with_in_hand(&self.config, cpus::usable(), &sentences, in_hand, row / 2);
            println!(
                "with {in_hand} texts in hand to make batches of, and no HTTP: {reached:.1}/s, {:.3} of the limit",
                reached / limit.per_second
            );
        }
        let requests = load::requests(&sentences);
        let mut starts = Vec::new();
        for _ in 0..5 {
            starts.push(self.start(&requests[0]).await.first_answer.as_millis());
        }
        starts.sort_unstable();
        println!("process start to first answer: {} ms (median of 5, slowest {})", starts[2], starts[4]);

        let server = self.start(&requests[0]).await;
        print_memory(&server, self.model_bytes, "after the first answer");
        let table = Table { server: &server, limit: &limit };
        Table::header();
        let (mut peak, mut peak_by_cpu) = (0.0_f64, 0.0_f64);
        for connections in [1, 8, 32, 128] {
            let load = Closed::start(&server.address, &requests, connections).await;
            let before = table.before().await;
            let run = load.measure(row).await;
            let by_cpu = table.row(&format!("closed, {connections} connections"), &run, &before).await;
            if run.accepted() > peak {
                (peak, peak_by_cpu) = (run.accepted(), by_cpu);
            }
        }
        for percent in [80, 300] {
            let before = table.before().await;
            let rate = peak * f64::from(percent) / 100.0;
            let (run, at_half_time) = tokio::join!(load::open(&server.address, &requests, rate, row), async {
                tokio::time::sleep(row / 2).await;
                server.memory("VmRSS")
            });
            let by_cpu = table.row(&format!("open, {percent}% of the peak"), &run, &before).await;
            let refused = |sample: &load::Sample| sample.status == 503;
            let count = run.samples.iter().filter(|sample| refused(sample)).count();
            if count > 0 {
                let (p50, p99) = (run.percentile(50, refused), run.percentile(99, refused));
                println!(
                    "    refused with 503 and Retry-After: {count}, in {p50:.1} ms p50, {p99:.1} ms p99; accepted {:.3} of \
                     the peak, {:.3} by the server's CPU time; {at_half_time:.1} MiB resident at half time, {:.1} at the end",
                    run.accepted() / peak,
                    by_cpu / peak_by_cpu,
                    server.memory("VmRSS")
                );
            }
        }
        print_memory(&server, self.model_bytes, "after all loads");
        tokio::time::sleep(MEMORY_IS_BACK_AFTER).await;
        print_memory(&server, self.model_bytes, "idle again");
    }

    /// Short and long texts together: the short must not wait behind the long.
    async fn mixed(&self, row: Duration) {
        let texts = texts::mixed(400);
        let limit = self.limit("texts of 3 to 400 tokens, every other one short", &texts, row / 3);
        let requests = load::requests(&texts);
        let server = self.start(&requests[0]).await;
        let table = Table { server: &server, limit: &limit };
        Table::header();
        let load = Closed::start(&server.address, &requests, 32).await;
        let before = table.before().await;
        let run = load.measure(row * 2).await;
        table.row("closed, 32 connections", &run, &before).await;
        for (name, even) in [("short", 0), ("long", 1)] {
            let select = |sample: &load::Sample| sample.text % 2 == even;
            let (p50, p99) = (run.percentile(50, select), run.percentile(99, select));
            println!("    {name} texts: p50 {p50:.1} ms, p99 {p99:.1} ms, ratio {:.2}", p99 / p50);
        }
        print_memory(&server, self.model_bytes, "after all loads");
        tokio::time::sleep(MEMORY_IS_BACK_AFTER).await;
        print_memory(&server, self.model_bytes, "idle again");
    }
}
