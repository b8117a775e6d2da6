//! What ONNX Runtime itself can do on this machine: the same texts, tokenized beforehand, with no
//! HTTP and no tokenizing, and with the model as it was exported, whose batches are padded.
//!
//! A thread inside a run for each CPU isn't among the settings: ADR 11 and the design measured it at
//! a quarter to a half of what a run for each CPU reaches.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use engine::{Classify, Layout, Limits, Queue, Queued, Tokens};
use inference_server::{config::Config, process};
use model::Model;

/// The model without the graph that `prepare-model` made of it, in a folder that it goes with.
pub struct AsExported(PathBuf);

impl AsExported {
    pub fn of(model: &Path) -> Self {
        let copy = env::temp_dir().join(format!("kubesentiment-as-exported-{}", std::process::id()));
        fs::create_dir_all(&copy).unwrap();
        for file in ["model.onnx", "model.onnx.data", "tokenizer.json", "config.json"] {
            if model.join(file).exists() {
                fs::copy(model.join(file), copy.join(file)).unwrap();
            }
        }
        Self(copy)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AsExported {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What the best of all settings reaches.
pub struct Limit {
    /// Texts a second.
    pub per_second: f64,
    /// Texts for each second of CPU time, which other programs on the machine hardly change.
    pub per_cpu_second: f64,
    pub setting: String,
    pub mean_tokens: f64,
    /// Of the graph that was run.
    pub layout: Layout,
    batch: usize,
    classifiers: Vec<Box<dyn Classify>>,
    tokens: Vec<Tokens>,
}

impl Limit {
    /// Measures the best setting anew: the machine's own speed changes by a quarter within minutes.
    pub fn measure_again(&mut self, time: Duration) {
        (self.per_second, self.per_cpu_second) = run(&mut self.classifiers, &self.tokens, self.batch, time);
        println!("engine limit now: {:.1}/s", self.per_second);
    }
}

/// The best of all settings, each tried for `each`: batches of texts of equal length, so that next
/// to nothing is padding.
pub fn measure(config: &Config, threads: usize, texts: &[String], each: Duration) -> Limit {
    let sharings = [("one session for all threads", 1), ("a session for each thread", threads)];
    let tried = sharings.map(|(sharing, sessions)| {
        let (mut classifiers, tokens) = load(config, threads, sessions, texts);
        let layout = classifiers[0].profile().layout;
        let speeds = [1, 4, 8, 16, 32].map(|batch| {
            let (per_second, per_cpu_second) = run(&mut classifiers, &tokens, batch, each);
            println!(
                "  {layout:?}: {per_second:6.1}/s, {per_cpu_second:6.1} a CPU second with {sharing}, batches of {batch}"
            );
            (per_second, per_cpu_second, batch)
        });
        let (per_second, per_cpu_second, batch) = speeds.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let count: usize = tokens.iter().map(|text| text.ids.len()).sum();
        let mean_tokens = count as f64 / tokens.len() as f64;
        let setting = format!("{sharing}, batches of {batch}");
        Limit { per_second, per_cpu_second, setting, mean_tokens, layout, batch, classifiers, tokens }
    });
    tried.into_iter().max_by(|a, b| a.per_second.total_cmp(&b.per_second)).unwrap()
}

/// Classifiers over so many sessions, and the texts sorted by length: neighbours share a batch.
fn load(config: &Config, threads: usize, sessions: usize, texts: &[String]) -> (Vec<Box<dyn Classify>>, Vec<Tokens>) {
    let models: Vec<Model> = (0..sessions).map(|_| Model::load(&config.model).unwrap()).collect();
    let mut tokens: Vec<Tokens> = texts.iter().map(|text| tokens(&models[0], text)).collect();
    tokens.sort_by_key(|text| text.ids.len());
    (models.iter().cycle().take(threads).map(Model::classifier).collect(), tokens)
}

fn tokens(model: &Model, text: &str) -> Tokens {
    model.tokenizer.tokenize(&text.into()).unwrap().windows.remove(0)
}

fn run(classifiers: &mut [Box<dyn Classify>], tokens: &[Tokens], batch: usize, time: Duration) -> (f64, f64) {
    let batches: Vec<&[Tokens]> = tokens.chunks(batch).collect();
    // A stride through all lengths, so that a run cut short has seen its share of each.
    let next = AtomicUsize::new(0);
    let stride = (batches.len() * 5 / 8) | 1;
    each_thread(classifiers, time, |classifier| {
        let index = next.fetch_add(1, Ordering::Relaxed) * stride % batches.len();
        let batch: Vec<&Tokens> = batches[index].iter().collect();
        classifier.classify(&batch).unwrap();
        batch.len()
    })
}

/// A text of which only the length and the turn matter.
struct Waiting {
    text: usize,
    tokens: usize,
    arrived: Instant,
}

impl Queued for Waiting {
    fn tokens(&self) -> usize {
        self.tokens
    }
    fn arrived(&self) -> Instant {
        self.arrived
    }
    fn deadline(&self) -> Instant {
        self.arrived + Duration::from_hours(1)
    }
    fn is_abandoned(&self) -> bool {
        false
    }
}

/// Texts a second when no more than `in_hand` are there to choose batches from, as many as that
/// many connections have open: the queue's own choice, with no HTTP and no waiting.
pub fn with_in_hand(config: &Config, threads: usize, texts: &[String], in_hand: usize, time: Duration) -> f64 {
    let model = Model::load(&config.model).unwrap();
    let tokens: Vec<Tokens> = texts.iter().map(|text| tokens(&model, text)).collect();
    let mut classifiers: Vec<_> = (0..threads).map(|_| model.classifier()).collect();
    let next = AtomicUsize::new(0);
    let limits = Limits::new(&config.engine, classifiers[0].profile(), threads);
    let queue = Mutex::new(Queue::new(limits));
    let refill = |texts: usize| {
        let mut queue = queue.lock().unwrap();
        for _ in 0..texts {
            let text = next.fetch_add(1, Ordering::Relaxed) % tokens.len();
            queue.push(Waiting { text, tokens: tokens[text].ids.len(), arrived: Instant::now() });
        }
    };
    refill(in_hand);
    let (per_second, _) = each_thread(&mut classifiers, time, |classifier| {
        let batch = queue.lock().unwrap().take(Instant::now()).batch;
        let batch: Vec<&Tokens> = batch.iter().map(|waiting| &tokens[waiting.text]).collect();
        if batch.is_empty() {
            thread::yield_now();
            return 0;
        }
        classifier.classify(&batch).unwrap();
        queue.lock().unwrap().finish(batch.len());
        refill(batch.len());
        batch.len()
    });
    per_second
}

/// Calls `work` on a thread for each classifier until the time is over. It returns how many texts it
/// ran; the result is texts a second and texts for each second of CPU time.
fn each_thread(
    classifiers: &mut [Box<dyn Classify>],
    time: Duration,
    work: impl Fn(&mut dyn Classify) -> usize + Sync,
) -> (f64, f64) {
    let done = AtomicUsize::new(0);
    let cpu = process::usage().unwrap().cpu_seconds;
    let start = Instant::now();
    thread::scope(|scope| {
        for classifier in classifiers {
            scope.spawn(|| {
                while start.elapsed() < time {
                    done.fetch_add(work(classifier.as_mut()), Ordering::Relaxed);
                }
            });
        }
    });
    let done = done.load(Ordering::Relaxed) as f64;
    (done / start.elapsed().as_secs_f64(), done / (process::usage().unwrap().cpu_seconds - cpu))
}
