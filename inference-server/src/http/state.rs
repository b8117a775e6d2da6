//! What the handlers share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Semaphore;

use super::bodies;
use crate::{
    access::Guard,
    config::Config,
    cpus,
    inference_log::InferenceLog,
    jobs::Jobs,
    metrics::Metrics,
    predict::{Batches, Predictor},
    traces::Traces,
};

/// The application.
pub struct App {
    /// The settings.
    pub config: Config,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// Asks for a key, unless everybody is served.
    pub guard: Option<Guard>,
    /// Answers texts.
    pub predictor: Predictor,
    /// Places for batches that are handled at once.
    pub(crate) batches: Batches,
    /// Batch jobs, unless they are turned off.
    pub jobs: Option<Jobs>,
    /// Bytes of memory for bodies.
    pub(crate) bodies: Arc<Semaphore>,
    /// Large and compressed bodies that are read at once: as many as there are CPUs.
    pub(super) readers: Arc<Semaphore>,
    /// The way to the collector of traces, if there is one.
    pub traces: Option<Traces>,
    draining: AtomicBool,
}

impl App {
    /// An application whose model is not loaded yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::new());
        let predictor =
            Predictor::new(config.request_timeout, Arc::clone(&metrics.predictions), Arc::clone(&metrics.engine));
        if config.redis.is_some() {
            metrics.cache.expect_redis();
        }
        let batches = Batches::new();
        let jobs = config.jobs.map(|config| Jobs::new(config, metrics.jobs.clone()));
        let guard = Guard::of(&config, &metrics);
        let app = Self {
            config,
            metrics,
            guard,
            predictor,
            batches,
            bodies: Arc::new(Semaphore::new(bodies::MOST_BYTES)),
            readers: Arc::new(Semaphore::new(cpus::usable())),
            jobs,
            traces: None,
            draining: AtomicBool::new(false),
        };
        app.count_keys();
        app
    }

    /// Logs answers.
    #[must_use]
    pub fn with_inference_log(self, log: Option<InferenceLog>) -> Self {
        Self { predictor: self.predictor.with_log(log), ..self }
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

    /// Turns readiness off, while requests are still served.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new requests should come here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.predictor.served().is_some() && !self.is_draining()
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
