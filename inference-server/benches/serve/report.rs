//! The table.

use inference_server::process;

use crate::{
    limit::Limit,
    load::{Run, Sample},
    server::{Done, Server},
};

/// Names of the columns that [`Table::row`] prints.
const HEADER: &str = "\
load                        accepted/s  of limit  by CPU  p50 ms  p99 ms  p99/p50  batch  padding  server ms  client ms  RSS MiB";

/// What the columns mean, printed once.
pub const LEGEND: &str = "\
of limit: accepted a second by the engine limit. by CPU: accepted for each second of the server's CPU time, by the limit's
same figure; the load generator runs on the same CPUs, so this is what the server reaches beside a client on another machine.
server ms, client ms: CPU time of each process for one answer.";

/// A mean of ratios, and how far the rounds were from it.
pub fn ratio(ratios: &[f64]) -> String {
    let count = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / count;
    let deviation = (ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / count).sqrt();
    format!("{mean:.3} (standard deviation {deviation:.3})")
}

/// Rows for one server and one limit.
pub struct Table<'a> {
    pub server: &'a Server,
    pub limit: &'a Limit,
}

/// What both processes had used when a row began.
pub struct Before {
    server: Done,
    client_cpu_seconds: f64,
}

impl Table<'_> {
    pub fn header() {
        println!("\n{HEADER}");
    }

    pub fn before(&self) -> Before {
        Before { server: self.server.done(), client_cpu_seconds: process::usage().unwrap().cpu_seconds }
    }

    /// Prints a row. Returns what was accepted for each second of the server's CPU time.
    pub fn row(&self, name: &str, run: &Run, before: &Before) -> f64 {
        let client_cpu = process::usage().unwrap().cpu_seconds - before.client_cpu_seconds;
        let (before, after) = (&before.server, self.server.done());
        let server_cpu = after.cpu_seconds - before.cpu_seconds;
        let by_cpu = run.accepted() * run.time.as_secs_f64() / server_cpu;
        let answers = run.samples.len() as f64;
        let (p50, p99) = (run.percentile(50, Sample::is_accepted), run.percentile(99, Sample::is_accepted));
        println!(
            "{name:<27} {:>10.1} {:>9.3} {:>7.3} {p50:>7.1} {p99:>7.1} {:>8.2} {:>6.1} {:>7.1}% {:>10.3} {:>10.3} {:>8.1}",
            run.accepted(),
            run.accepted() / self.limit.per_second,
            by_cpu / self.limit.per_cpu_second,
            p99 / p50,
            (after.texts - before.texts) / (after.runs - before.runs),
            100.0 * (after.padding - before.padding) / (after.tokens - before.tokens),
            1e3 * server_cpu / answers,
            1e3 * client_cpu / answers,
            self.server.memory("VmRSS"),
        );
        by_cpu
    }
}

/// Resident memory, by its kinds, against what the model has in its files.
pub fn print_memory(server: &Server, model_bytes: u64, when: &str) {
    let mebibytes = model_bytes as f64 / f64::from(1 << 20);
    let resident = server.memory("VmRSS");
    println!(
        "memory {when}: {resident:.1} MiB resident, of it {:.1} of its own and {:.1} of mapped files; peak {:.1}; \
         the model has {mebibytes:.1} in its files, ratio {:.2}",
        server.memory("RssAnon"),
        server.memory("RssFile"),
        server.memory("VmHWM"),
        resident / mebibytes,
    );
}
