//! Series on what the process uses. They are read when they are asked for and kept nowhere, so that scrapes at the same
//! time don't count anything twice.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::process;

#[derive(Debug)]
struct Usage;

pub(super) fn register(all: &mut Registry) {
    all.register_collector(Box::new(Usage));
}

impl Collector for Usage {
    /// Both series, or none where the system doesn't tell.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = process::usage() else {
            return Ok(());
        };
        let memory = ConstGauge::new(i64::try_from(usage.resident_bytes).unwrap_or(i64::MAX));
        let name = "process_resident_memory_bytes";
        memory.encode(encoder.encode_descriptor(name, "Resident memory", None, memory.metric_type())?)?;
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "CPU time, user and system";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::super::Metrics;
    use crate::process;

    /// The value of a series.
    fn number(text: &str, name: &str) -> f64 {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    }

    #[test]
    fn scrapes_at_the_same_time_count_cpu_seconds_once() {
        let used = || process::usage().unwrap().cpu_seconds;
        while used() < 0.05 {
            std::hint::spin_loop();
        }
        for _ in 0..20 {
            let (metrics, start) = (Metrics::new(), Barrier::new(4));
            let before = used();
            let shown: Vec<f64> = thread::scope(|scope| {
                let scrape = || {
                    start.wait();
                    number(&metrics.render().unwrap(), "process_cpu_seconds_total ")
                };
                let scrapes: Vec<_> = (0..4).map(|_| scope.spawn(scrape)).collect();
                scrapes.into_iter().map(|scrape| scrape.join().unwrap()).collect()
            });
            let after = used();
            assert!(shown.iter().all(|seconds| (before..=after).contains(seconds)), "{before} {shown:?} {after}");
        }
    }

    #[test]
    fn the_series_are_those_that_prometheus_knows() {
        let text = Metrics::new().render().unwrap();
        for line in [
            "# HELP process_resident_memory_bytes Resident memory",
            "# TYPE process_resident_memory_bytes gauge",
            "# HELP process_cpu_seconds_total CPU time, user and system",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} in\n{text}");
        }
        assert!(number(&text, "process_resident_memory_bytes ") > 100_000.0);
    }
}
