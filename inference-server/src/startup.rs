//! From nothing to serving, and what is said when that fails.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    access::Guard,
    config::{ConfigError, Reader, Settings},
    cpus,
    drift::{Baseline, BaselineError, Monitor, Origin, Predictions, baseline},
    engine::{Engine, Layout},
    http::{App, Serving},
    model::{Model, ModelError},
    secrets::masked_sentence,
    traces::TracesError,
    version,
};

/// Why the server ends before it serves. `Display` is `Reason: sentence`, which the operator carries
/// into a condition of the resource.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("InvalidConfig: {0}")]
    Config(#[from] ConfigError),
    /// The model can't be served.
    #[error("ModelLoadFailed: {0}")]
    Model(ModelError),
    /// The drift baseline can't be used.
    #[error("InvalidConfig: {0}")]
    Baseline(#[from] BaselineError),
    /// The address can't be listened on.
    #[error("StartFailed: can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Traces can't be exported as the settings ask.
    #[error("InvalidConfig: {0}")]
    Traces(#[from] TracesError),
    /// Threads can't be started.
    #[error("StartFailed: can't start threads: {0}")]
    Threads(io::Error),
}

impl From<ModelError> for StartError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Config(error) => Self::Config(error),
            error => Self::Model(error),
        }
    }
}

impl StartError {
    /// The sentence as it is told, without what may be a secret in it.
    #[must_use]
    pub fn sentence(&self) -> String {
        masked_sentence(&self.to_string()).into_owned()
    }

    /// Writes the sentence to where Kubernetes reads it from. A host without that file is no
    /// Kubernetes, and needs no word about it.
    pub fn write_termination_log(&self, file: &Path) {
        let written = std::fs::OpenOptions::new().write(true).truncate(true).open(file);
        if let Ok(mut file) = written {
            let _ = io::Write::write_all(&mut file, self.sentence().as_bytes());
        }
    }
}

/// Says which files were read, and what has no effect.
pub fn tell_of_settings(settings: &Settings) {
    for file in settings.files() {
        tracing::info!(file = %file.display(), "read settings");
    }
    for sentence in Reader::new(settings).without_effect() {
        tracing::warn!("{sentence}");
    }
}

/// Loads the model, starts the engine, and makes the application ready.
pub fn load(app: &Arc<App>, started: Instant) -> Result<(), StartError> {
    let threads = app.config.engine.threads.unwrap_or_else(cpus::usable);
    let model = Model::load(&app.config)?;
    let profile = model.classifier().profile();
    let (padding, is_quantized) = (profile.layout == Layout::Padded, profile.is_quantized);
    if let Some(monitor) = &app.drift {
        watch(monitor, &model)?;
    }
    let metrics = Arc::clone(&app.metrics);
    let engine = Engine::start(&app.config.engine, threads, &model.tokenizer, || model.classifier(), metrics)
        .map_err(StartError::Threads)?;
    if let Some(redis) = app.redis() {
        redis.start(model.provenance, model.labels.clone())?;
    }
    let file = model.file.display().to_string();
    app.start_serving(Serving {
        engine,
        labels: model.labels,
        tokenizer: model.tokenizer,
        model_file: model.file,
        is_quantized,
        max_tokens: model.max_tokens,
        threads,
    });
    let api_keys = app.count_keys();
    for name in app.guard.iter().flat_map(Guard::limits_without_key) {
        tracing::warn!(name, "MLOPS_API_KEY_LIMITS names a key that is not in force: correct the name or add the key");
    }
    // Only now: who waits for this line may send at once.
    tracing::info!(
        version = version(),
        model = app.config.model.name,
        file,
        threads,
        max_tokens = model.max_tokens,
        padding,
        run_us = micros(profile.cost.run),
        token_us = micros(profile.cost.token),
        authentication = if api_keys > 0 { "api_key" } else { "none" },
        api_keys,
        milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Starts to watch for drift, against the baseline that there is.
fn watch(monitor: &Monitor, model: &Model) -> Result<(), StartError> {
    let answers = model.labels.answers();
    let baseline = match baseline::find(monitor.config(), &model.directory) {
        Some(file) => {
            let predictions = Predictions::read(&file)?;
            Some(Baseline::new(Origin::File(file), predictions, &answers))
        }
        None => None,
    };
    monitor.start(answers, baseline);
    Ok(())
}

/// Files that this process may have open, after the soft limit is raised to the hard one: the soft
/// one is kept low for programs of an age that is over.
#[must_use]
pub fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    most.unwrap_or(u64::MAX)
}
