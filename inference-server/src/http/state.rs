//! What the handlers share.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Semaphore;

use super::{ApiError, bodies, predict_batch};
use crate::{
    access::Guard,
    cache::{Cache, Redis},
    config::Config,
    cpus, drift,
    engine::{Engine, Tokenize},
    jobs::{Foreground, Jobs},
    metrics::Metrics,
    model::{Labels, Verdict},
    recent::RecentPredictions,
    traces::Traces,
};

/// The model and the engine that runs it, once both are ready.
pub struct Serving {
    /// Takes texts.
    pub engine: Engine,
    /// Reads what comes out.
    pub labels: Labels,
    /// The tokenizer, for those who need to know where the model stops to read.
    pub tokenizer: Arc<dyn Tokenize>,
    /// File that the model was loaded from.
    pub model_file: PathBuf,
    /// Whether its weights are quantized.
    pub is_quantized: bool,
    /// Tokens a text is cut to.
    pub max_tokens: usize,
    /// Inference threads.
    pub threads: usize,
}

/// The application.
pub struct App {
    /// The settings.
    pub config: Config,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// Asks for a key, unless everybody is served.
    pub guard: Option<Guard>,
    /// Answers that are kept, unless that is off.
    pub(super) cache: Option<Cache<ApiError>>,
    /// Watches the predictions, unless that is off.
    pub drift: Option<drift::Monitor>,
    /// The latest predictions, for feedback on them.
    pub(super) recent: RecentPredictions,
    /// Places for batches that are handled at once.
    pub(super) batches: Semaphore,
    /// Batch jobs, unless they are turned off.
    pub jobs: Option<Jobs>,
    /// Texts of requests that are with the engine.
    pub(super) foreground: Foreground,
    /// Bytes of memory for bodies.
    pub(super) bodies: Arc<Semaphore>,
    /// Large and compressed bodies that are read at once: as many as there are CPUs.
    pub(super) readers: Arc<Semaphore>,
    /// The way to the collector of traces, if there is one.
    pub traces: Option<Traces>,
    serving: OnceLock<Serving>,
    draining: AtomicBool,
}

impl App {
    /// An application whose model is not loaded yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::new());
        let cache = Cache::of(&config, &metrics);
        let batches = Semaphore::new(predict_batch::MOST_AT_ONCE);
        let jobs = config.jobs.map(|config| Jobs::new(config, metrics.jobs.clone()));
        let drift = config.drift.clone().map(drift::Monitor::new);
        let guard = Guard::of(&config, &metrics);
        let app = Self {
            config,
            metrics,
            guard,
            cache,
            drift,
            recent: RecentPredictions::default(),
            batches,
            bodies: Arc::new(Semaphore::new(bodies::MOST_BYTES)),
            readers: Arc::new(Semaphore::new(cpus::usable())),
            jobs,
            foreground: Foreground::new(),
            traces: None,
            serving: OnceLock::new(),
            draining: AtomicBool::new(false),
        };
        app.count_keys();
        app
    }

    /// How many API keys are in force; 0 serves everybody. Each has a series from here on.
    pub fn count_keys(&self) -> usize {
        self.guard.as_ref().map_or(0, Guard::count_keys)
    }

    /// Sends traces of requests to a collector.
    #[must_use]
    pub fn with_traces(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// Counts a prediction, from wherever its answer came, and shows it to the drift monitor.
    pub(super) fn observe_prediction(&self, verdict: &Verdict, characters: usize) {
        self.metrics.observe_prediction(verdict.score, characters);
        if let Some(drift) = &self.drift {
            drift.record(verdict, characters);
        }
    }

    /// Starts to serve predictions. Only the first call counts.
    pub fn start_serving(&self, serving: Serving) {
        if self.serving.set(serving).is_ok() {
            self.metrics.set_model_loaded(true);
        }
    }

    /// The cache's second level, if there is one.
    #[must_use]
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.cache.as_ref().and_then(Cache::redis)
    }

    /// The model and engine; `None` while they load.
    #[must_use]
    pub fn serving(&self) -> Option<&Serving> {
        self.serving.get()
    }

    /// Turns readiness off, while requests are still served.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new requests should come here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.serving().is_some() && !self.is_draining()
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
