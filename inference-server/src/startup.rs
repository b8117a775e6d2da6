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
    cache::{Cache, Connector, Redis},
    config::{ConfigError, DriftConfig, Reader, Setting, Settings},
    cpus,
    drift::{Baseline, BaselineError, Monitor, Origin, Predictions, baseline},
    http::App,
    outgoing::AuthoritiesError,
    predict::ServedModel,
    secrets::masked_sentence,
    traces::TracesError,
    version,
};
use engine::{Engine, Layout};
use model::{Head, Model, ModelError, Provenance, SettingError};

/// Why the server ends before it serves. `Display` is `Reason: sentence`, which the operator carries
/// into a condition of the resource.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("InvalidConfig: {0}")]
    Config(#[from] ConfigError),
    /// A setting doesn't go with the model.
    #[error("InvalidConfig: {0}")]
    Setting(SettingError),
    /// The model can't be served.
    #[error("ModelLoadFailed: {0}")]
    Model(ModelError),
    /// The drift baseline can't be used.
    #[error("InvalidConfig: {0}")]
    Baseline(#[from] BaselineError),
    /// The address can't be listened on.
    #[error("StartFailed: can't listen on {address}: {source}{}", setting.map_or(String::new(), |name| format!("; {name} sets another port")))]
    Listen {
        /// The setting of its port.
        setting: Option<&'static str>,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// gRPC can't be served.
    #[error("StartFailed: can't describe what gRPC serves: {0}")]
    Grpc(#[from] tonic_reflection::server::Error),
    /// Traces can't be exported as the settings ask.
    #[error("InvalidConfig: {0}")]
    Traces(#[from] TracesError),
    /// The inference log can't be written as the settings ask.
    #[error("InvalidConfig: {0}")]
    InferenceLog(#[from] AuthoritiesError),
    /// Threads can't be started.
    #[error("StartFailed: can't start threads: {0}")]
    Threads(io::Error),
}

impl StartError {
    /// Names the setting of the port that can't be listened on.
    pub(crate) fn of_port(mut self, port: &'static Setting<u16>) -> Self {
        if let Self::Listen { setting, .. } = &mut self {
            *setting = Some(port.name());
        }
        self
    }
}

impl From<ModelError> for StartError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Setting(error) => Self::Setting(error),
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
    let config = &app.config;
    let threads = config.engine.threads.unwrap_or_else(cpus::usable);
    let model = Model::load(&config.model)?;
    let profile = model.classifier().profile();
    let (padding, is_quantized) = (profile.layout == Layout::Padded, profile.is_quantized);
    let drift = config.drift.clone().map(|drift| watch(drift, &model)).transpose()?;
    let series = Arc::clone(&app.metrics.engine);
    let engine = Engine::start(&config.engine, threads, &model.tokenizer, || model.classifier(), series)
        .map_err(StartError::Threads)?;
    let cache = Cache::of(config, &app.metrics.cache);
    let redis = cache.as_ref().and_then(Cache::redis).cloned();
    let connector = redis.as_ref().map(|redis| redis.connector()).transpose()?;
    let Model { file, max_tokens, head, tokenizer, provenance, .. } = model;
    let served = Arc::new(ServedModel {
        cache,
        drift,
        file,
        is_quantized,
        max_tokens,
        ..ServedModel::new(&config.model.name, engine, head.clone(), tokenizer, threads)
    });
    app.predictor.serve(Arc::clone(&served));
    let api_keys = app.count_keys();
    for name in app.guard.iter().flat_map(Guard::limits_without_key) {
        tracing::warn!(name, "MLOPS_API_KEY_LIMITS names a key that is not in force: correct the name or add the key");
    }
    // Only now: who waits for this line may send at once.
    tracing::info!(
        version = version(),
        model = &*served.name,
        file = %served.file.display(),
        threads,
        max_tokens,
        problem = head.problem().as_str(),
        activation = head.activation().as_str(),
        padding,
        run_us = micros(profile.cost.run),
        token_us = micros(profile.cost.token),
        authentication = if api_keys > 0 { "api_key" } else { "none" },
        api_keys,
        milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
    tokio::spawn(identify(Arc::clone(app), served, provenance, redis.zip(connector), head));
    Ok(())
}

/// Hashes the model's files, beside the first requests. Redis, whose keys are of the model, is used from then on.
async fn identify(
    app: Arc<App>,
    model: Arc<ServedModel>,
    provenance: Provenance,
    redis: Option<(Arc<Redis>, Connector)>,
    head: Head,
) {
    let hashed = tokio::task::spawn_blocking(|| provenance.identify()).await;
    let identity = match hashed {
        Ok(identity) => identity.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.to_string()),
    };
    match (identity, redis) {
        (Ok(identity), redis) => {
            tracing::info!(model = &*model.name, digest = %identity.model, "identified");
            app.predictor.identify(&model, identity.model);
            if let Some((redis, connector)) = redis {
                redis.start(connector, identity.outputs, head);
            }
        }
        (Err(problem), redis) => {
            tracing::warn!(problem, "the model has no digest");
            if let Some((redis, _)) = redis {
                redis.give_up(&problem);
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Watches for drift, against the baseline that there is.
fn watch(config: DriftConfig, model: &Model) -> Result<Monitor, StartError> {
    let answers = model.head.answers();
    let baseline = match baseline::find(&config, &model.directory) {
        Some(file) => {
            let predictions = Predictions::read(&file)?;
            comparable(&file, &predictions, model).then(|| Baseline::new(Origin::File(file), predictions, &answers))
        }
        None => None,
    };
    let monitor = Monitor::new(config);
    monitor.start(answers, baseline);
    Ok(monitor)
}

/// Whether a baseline was made of what is answered. Where a label won that is left out now, its scores are of another
/// choice, and which of them were that label's isn't known.
fn comparable(file: &Path, predictions: &Predictions, model: &Model) -> bool {
    let answers = model.head.answers();
    let mut dropped = model.head.dropped().map(|(_, label)| label).filter(|label| !answers.contains(label));
    let Some(label) = predictions.won_by(&mut dropped) else { return true };
    tracing::warn!(
        file = %file.display(),
        label = &**label,
        "the drift baseline was made without MLOPS_DROP_LABELS, so the first full window takes its place; \
         --make-drift-baseline makes another with it"
    );
    false
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
