//! Two loads in turn, and the second by the first.

use std::time::Duration;

use inference_server::process;

use crate::{
    load::{self, Closed},
    report::ratio,
    server::Server,
};

/// How often the two of a pair are measured in turn.
pub const ROUNDS: usize = 5;

/// What a load has reached.
#[derive(Clone, Copy)]
pub struct Reached {
    pub per_second: f64,
    /// For each second of the server's CPU time.
    pub by_cpu: f64,
}

/// Measures two loads in turn and prints the second by the first.
pub fn pair(names: [&str; 2], first: impl Fn() -> Reached, second: impl Fn() -> Reached) {
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Neither is always the one behind the other.
        let [first, second] = if round % 2 == 0 {
            let first = first();
            [first, second()]
        } else {
            let second = second();
            [first(), second]
        };
        println!(
            "    {}: {:.1}/s, {:.1} by CPU; {}: {:.1}/s, {:.1} by CPU",
            names[0], first.per_second, first.by_cpu, names[1], second.per_second, second.by_cpu
        );
        rates.push(second.per_second / first.per_second);
        cpu.push(second.by_cpu / first.by_cpu);
    }
    println!(
        "{} by {}: {} of the rate, {} for each second of the server's CPU time",
        names[1],
        names[0],
        ratio(&rates),
        ratio(&cpu)
    );
}

/// A load of requests whose bytes are made already.
pub fn loaded(server: &Server, requests: &[Vec<u8>], connections: usize, row: Duration) -> Reached {
    let mut load = Closed::start(&server.address, requests, connections);
    let usage = || process::usage_of(&server.id()).unwrap().cpu_seconds;
    let before = usage();
    let run = load.run(row);
    let cpu = usage() - before;
    assert!(run.samples.iter().all(load::Sample::is_accepted));
    Reached { per_second: run.accepted(), by_cpu: run.samples.len() as f64 / cpu }
}
