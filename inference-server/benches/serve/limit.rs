//! What ONNX Runtime itself can do on this machine: the same texts, tokenized beforehand, in
//! batches of equal length, with no HTTP and no queue.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use inference_server::{
    config::Config,
    engine::{Classify, Tokens},
    model::Model,
    process,
};

/// Texts a second, with the setting that reached it.
pub struct Limit {
    pub per_second: f64,
    /// Texts for each second of CPU time, which other programs on the machine hardly change.
    pub per_cpu_second: f64,
    pub setting: String,
    pub mean_tokens: f64,
}

/// The best of all settings, each tried for `each`.
pub fn measure(config: &Config, threads: usize, texts: &[String], each: Duration) -> Limit {
    let mut best = Limit { per_second: 0.0, per_cpu_second: 0.0, setting: String::new(), mean_tokens: 0.0 };
    for sharing in ["one session for all threads", "a session for each thread"] {
        let (mut classifiers, tokens) = load(config, threads, sharing, texts);
        let count: usize = tokens.iter().map(|text| text.ids.len()).sum();
        best.mean_tokens = count as f64 / tokens.len() as f64;
        for batch in [1, 4, 8, 16, 32] {
            let (per_second, per_cpu_second) = run(&mut classifiers, &tokens, batch, each);
            println!(
                "  limit: {per_second:6.1}/s, {per_cpu_second:6.1} a CPU second with {sharing}, batches of {batch}"
            );
            best.per_cpu_second = best.per_cpu_second.max(per_cpu_second);
            if per_second > best.per_second {
                best.per_second = per_second;
                best.setting = format!("{sharing}, batches of {batch}");
            }
        }
    }
    best
}

fn load(config: &Config, threads: usize, sharing: &str, texts: &[String]) -> (Vec<Box<dyn Classify>>, Vec<Tokens>) {
    let mut model = Model::load(config, threads).unwrap();
    let mut tokens: Vec<Tokens> = texts.iter().map(|text| model.tokenizer.tokenize(text).unwrap()).collect();
    // So that neighbours, which share a batch, need no padding.
    tokens.sort_by_key(|text| text.ids.len());
    let mut classifiers = std::mem::take(&mut model.classifiers);
    if sharing.starts_with('a') {
        classifiers = (0..threads).flat_map(|_| Model::load(config, 1).unwrap().classifiers).collect();
    }
    (classifiers, tokens)
}

fn run(classifiers: &mut [Box<dyn Classify>], tokens: &[Tokens], batch: usize, time: Duration) -> (f64, f64) {
    let batches: Vec<&[Tokens]> = tokens.chunks(batch).collect();
    // A stride through all lengths, so that a run cut short has seen its share of each.
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stride = (batches.len() * 5 / 8) | 1;
    let cpu = process::usage().unwrap().cpu_seconds;
    let start = Instant::now();
    thread::scope(|scope| {
        for classifier in classifiers {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let index = next.fetch_add(1, Ordering::Relaxed) * stride % batches.len();
                    let batch: Vec<&Tokens> = batches[index].iter().collect();
                    classifier.classify(&batch).unwrap();
                    done.fetch_add(batch.len(), Ordering::Relaxed);
                }
            });
        }
    });
    let done = done.load(Ordering::Relaxed) as f64;
    (done / start.elapsed().as_secs_f64(), done / (process::usage().unwrap().cpu_seconds - cpu))
}
