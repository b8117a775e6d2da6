//! `make bench`: how near the server comes to what ONNX Runtime can do on this machine.
//!
//! One run, some minutes. `BENCH_SECONDS` sets the length of each row (default 6), and
//! `BENCH_SECTIONS` which of int8, larger, shapes, mixed, hits, protocols and models are run (default all but
//! the last, which needs another model's folder in `BENCH_REFERENCE`).

#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#![allow(clippy::unwrap_used, reason = "a failed measurement is a failed run")]
#![allow(missing_docs, reason = "a program")]

mod cache_hits;
mod limit;
mod load;
mod models;
mod pair;
mod protocols;
mod report;
mod server;
mod shapes;
mod texts;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use engine::Layout;
use inference_server::{
    config::{Config, Environment},
    cpus,
};
use limit::{AsExported, Limit};
use load::{Closed, Open, Run, Sample};
use report::{LEGEND, Table, print_memory};
use server::Server;

/// How often the loads of the targets are repeated.
const ROUNDS: usize = 5;

/// Texts of one request to `/predict/batch`, and connections that send them: more than find places at once.
const BATCH: usize = 100;
const BATCH_CONNECTIONS: usize = 4;

/// The server looks for memory to give back every 10 s.
const MEMORY_IS_BACK_AFTER: Duration = Duration::from_secs(12);

fn main() {
    kernels::run_soon_after_waking().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let library = env::var("ORT_DYLIB_PATH").unwrap_or_default();
    if !root.join(&library).is_file() {
        eprintln!("ORT_DYLIB_PATH is {library:?}, where no ONNX Runtime is: run `make bench`, which fetches it");
        std::process::exit(1);
    }
    let seconds = env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let row = Duration::from_secs(seconds);
    let sections = env::var("BENCH_SECTIONS").unwrap_or("int8,larger,shapes,mixed,hits,protocols".to_owned());
    let asked = |section: &str| sections.split(',').any(|asked| asked == section);
    let model = env::var("MLOPS_ONNX_MODEL_PATH").unwrap_or(root.join("models/default").display().to_string());
    println!("{} CPUs, which the load generator shares.\n{LEGEND}", cpus::usable());

    if asked("int8") {
        Subject::new(&model).sentences(row);
    }
    if asked("larger") {
        match made_model(&root, "larger") {
            Ok(larger) => Subject::new(&larger.display().to_string()).sentences(row),
            Err(problem) => println!("\nlarger model: not measured: {problem}"),
        }
    }
    if asked("shapes") {
        println!(
            "\nModels of other shapes, random weights in int8, sentences, 32 in hand to make batches of and no HTTP"
        );
        for shape in ["distilbert", "roberta"] {
            match made_model(&root, shape) {
                Ok(model) => shapes::measure(shape, &model, row),
                Err(problem) => println!("{shape}: not measured: {problem}"),
            }
        }
    }
    if asked("mixed") {
        Subject::new(&model).mixed(row);
    }
    if asked("hits") {
        println!();
        cache_hits::measure(&model, &root, row);
    }
    if asked("protocols") {
        protocols::measure(&model, row);
    }
    if asked("models") {
        models::measure(&model, &env::var("BENCH_REFERENCE").unwrap_or_default(), row);
    }
}

/// A model of another size or shape than the default one, made on the first run.
fn made_model(root: &Path, shape: &str) -> Result<PathBuf, String> {
    let folder = root.join(".cache/bench-models").join(shape);
    let script = root.join("scripts/make-bench-model.sh");
    let made = Command::new(&script).arg(&folder).arg(shape).status().map_err(|error| error.to_string())?;
    if made.success() { Ok(folder) } else { Err(format!("{} failed: {made}", script.display())) }
}

/// What a load has reached.
struct Reached {
    run: Run,
    /// Accepted for each second of the server's CPU time.
    by_cpu: f64,
}

/// The figures of one round: the engine limit and loads that follow each other closely, since the machine's
/// own speed changes within minutes.
struct Round {
    /// At 32 and 128 connections.
    of_limit: [f64; 2],
    /// p99/p50 at 32 connections.
    spread: f64,
    /// Of the better of 32 and 128 connections, at 300% of it.
    of_peak: f64,
    of_peak_by_cpu: f64,
    refused_p99: f64,
}

/// A load of so many connections that each wait for their answers.
fn closed(table: &Table<'_>, requests: &[Vec<u8>], connections: usize, row: Duration) -> Reached {
    let mut load = Closed::start(&table.server.address, requests, connections);
    let before = table.before();
    let run = load.run(row);
    let by_cpu = table.row(&format!("closed, {connections} connections"), &run, &before);
    Reached { run, by_cpu }
}

/// A load of so many percent of a peak, however fast it is answered.
fn open(table: &Table<'_>, requests: &[Vec<u8>], percent: u32, peak: &Reached, row: Duration) -> Reached {
    let resident = || table.server.memory("VmRSS");
    let rate = peak.run.accepted() * f64::from(percent) / 100.0;
    let mut load = Open::start(&table.server.address, requests, rate);
    let before = table.before();
    let (run, at_half_time) = thread::scope(|scope| {
        let at_half_time = scope.spawn(|| {
            thread::sleep(row / 2);
            resident()
        });
        (load.run(row), at_half_time.join().unwrap())
    });
    let by_cpu = table.row(&format!("open, {percent}% of the peak"), &run, &before);
    let count = run.samples.iter().filter(|sample| sample.is_refused()).count();
    if count > 0 {
        println!(
            "    refused with 503 and Retry-After: {count}, in {:.1} ms p50, {:.1} ms p99; accepted {:.3} of the peak, {:.3} \
             by the server's CPU time; {at_half_time:.1} MiB resident at half time, {:.1} at the end",
            run.percentile(50, Sample::is_refused),
            run.percentile(99, Sample::is_refused),
            run.accepted() / peak.run.accepted(),
            by_cpu / peak.by_cpu,
            resident(),
        );
    }
    load.finish();
    Reached { run, by_cpu }
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
    fn start(&self, request: &[u8]) -> Server {
        let settings = [
            ("MLOPS_ONNX_MODEL_PATH", self.path.to_str().unwrap()),
            ("MLOPS_MAX_TEXT_LENGTH", "10000"),
            ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ];
        Server::start(&settings, request)
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
    fn sentences(&self, row: Duration) {
        let sentences = texts::sentences(2000);
        let mut limit = self.limit("sentences", &sentences, row / 3);
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
            starts.push(self.start(&requests[0]).first_answer.as_millis());
        }
        starts.sort_unstable();
        println!("process start to first answer: {} ms (median of 5, slowest {})", starts[2], starts[4]);

        let server = self.start(&requests[0]);
        print_memory(&server, self.model_bytes, "after the first answer");
        Table::header();
        let table = Table { server: &server, limit: &limit };
        closed(&table, &requests, 1, row);
        closed(&table, &requests, 8, row);
        let rounds: Vec<Round> = (0..ROUNDS)
            .map(|_| {
                limit.measure_again(row / 2);
                let table = Table { server: &server, limit: &limit };
                let [with_32, with_128] = [32, 128].map(|connections| closed(&table, &requests, connections, row));
                let peak = if with_32.run.accepted() > with_128.run.accepted() { &with_32 } else { &with_128 };
                let overload = open(&table, &requests, 300, peak, row);
                Round {
                    of_limit: [&with_32, &with_128].map(|reached| reached.run.accepted() / limit.per_second),
                    spread: with_32.run.percentile(99, Sample::is_accepted)
                        / with_32.run.percentile(50, Sample::is_accepted),
                    of_peak: overload.run.accepted() / peak.run.accepted(),
                    of_peak_by_cpu: overload.by_cpu / peak.by_cpu,
                    refused_p99: overload.run.percentile(99, Sample::is_refused),
                }
            })
            .collect();
        limit.measure_again(row / 2);
        let table = Table { server: &server, limit: &limit };
        open(&table, &requests, 80, &closed(&table, &requests, 128, row), row);
        let batches = load::batches(&sentences, BATCH);
        let run = Closed::start(&server.address, &batches, BATCH_CONNECTIONS).run(row);
        let per_second = run.accepted() * BATCH as f64;
        println!(
            "/predict/batch, {BATCH_CONNECTIONS} connections, {BATCH} texts each: {per_second:.1} texts/s, {:.3} of the limit; \
             {:.0} ms p50 a request, {:.0} ms p99",
            per_second / limit.per_second,
            run.percentile(50, Sample::is_accepted),
            run.percentile(99, Sample::is_accepted),
        );
        let median = |figure: fn(&Round) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        println!(
            "median of {ROUNDS} rounds: {:.3} of the limit at 32 connections, {:.3} at 128; p99/p50 at 32 {:.2}; at 300% of \
             the peak {:.3} of it accepted, {:.3} by the server's CPU time, p99 of the refused {:.1} ms",
            median(|round| round.of_limit[0]),
            median(|round| round.of_limit[1]),
            median(|round| round.spread),
            median(|round| round.of_peak),
            median(|round| round.of_peak_by_cpu),
            median(|round| round.refused_p99),
        );
        print_memory(&server, self.model_bytes, "after all loads");
        thread::sleep(MEMORY_IS_BACK_AFTER);
        print_memory(&server, self.model_bytes, "idle again");
    }

    /// Short and long texts together: the short must not wait behind the long.
    fn mixed(&self, row: Duration) {
        let texts = texts::mixed(400);
        let mut limit = self.limit("texts of 3 to 400 tokens, every other one short", &texts, row / 3);
        let requests = load::requests(&texts);
        let server = self.start(&requests[0]);
        limit.measure_again(row);
        let table = Table { server: &server, limit: &limit };
        Table::header();
        let Reached { run, .. } = closed(&table, &requests, 32, row * 2);
        for (name, even) in [("short", 0), ("long", 1)] {
            let select = |sample: &Sample| sample.text % 2 == even;
            let (p50, p99) = (run.percentile(50, select), run.percentile(99, select));
            println!("    {name} texts: p50 {p50:.1} ms, p99 {p99:.1} ms, ratio {:.2}", p99 / p50);
        }
        self.long_beside_short(row);
        print_memory(&server, self.model_bytes, "after all loads");
        thread::sleep(MEMORY_IS_BACK_AFTER);
        print_memory(&server, self.model_bytes, "idle again");
    }

    /// More long texts than there is time for, however fast they are answered, and a few short ones.
    fn long_beside_short(&self, row: Duration) {
        const PER_SECOND: f64 = 100.0;
        let requests = load::requests(&texts::long_beside_short(500));
        let server = self.start(&requests[0]);
        let mut load = Open::start(&server.address, &requests, PER_SECOND);
        let run = load.run(row * 4);
        load.finish();
        println!("open, 80 texts a second of 400 tokens and 20 of 8");
        for (name, is_short) in [("short", true), ("long", false)] {
            let kind = |sample: &&Sample| sample.text.is_multiple_of(5) == is_short;
            let (all, refused) = (
                run.samples.iter().filter(kind).count(),
                run.samples.iter().filter(kind).filter(|sample| sample.is_refused()).count(),
            );
            let accepted = |sample: &Sample| kind(&sample) && sample.is_accepted();
            let [p50, p99, slowest] = [50, 99, 100].map(|percent| run.percentile(percent, accepted));
            println!(
                "    {name} texts: {refused} of {all} refused; p50 {p50:.1} ms, p99 {p99:.1} ms, ratio {:.2}, slowest {slowest:.0} ms",
                p99 / p50
            );
        }
    }
}
