//! ONNX Runtime, loaded, and the sessions that it makes.

use std::{env, fs::File, path::Path, sync::OnceLock};

use ort::{
    environment::Environment,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

use crate::{ModelError, mapped, session::ColdSession};

/// Where the library is looked for when `ORT_DYLIB_PATH` doesn't say.
const LIBRARY: &str = "libonnxruntime.so";

/// ONNX Runtime, loaded.
pub struct Runtime(Environment);

impl Runtime {
    /// Loads the library. One process has one runtime, so a second call returns the first's.
    pub fn load() -> Result<Self, ModelError> {
        static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| {
            let path = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
            // First of all calls: any other one would load the library by its default name, and
            // panic where that fails.
            let builder = ort::init_from(path.unwrap_or_else(|| LIBRARY.into())).map_err(|error| error.to_string())?;
            let environment = builder.with_telemetry(false).build().map_err(|error| error.to_string())?;
            kernels::keep_activations_apart(&environment).map_err(|error| error.to_string())?;
            Ok(environment)
        });
        loaded.clone().map(Self).map_err(ModelError::NoRuntime)
    }

    /// A session over an ONNX file, not run yet.
    pub(super) fn open(&self, file: &Path) -> Result<ColdSession, ModelError> {
        let bad = |problem: String| ModelError::BadFile { path: file.to_owned(), problem };
        let session = self.commit(file).map_err(|error| bad(error.to_string()))?;
        ColdSession::new(session).map_err(bad)
    }

    fn commit(&self, file: &Path) -> ort::Result<Session> {
        if let (Some(graph), Some(folder)) = (weights_to_map(file), file.parent().and_then(Path::to_str)) {
            match self.builder()?.with_config_entry(WEIGHTS_IN, folder)?.commit_from_memory(&graph) {
                Ok(session) => return Ok(session),
                // Such as where there is no /proc: what is wrong with the model itself is then told of the file.
                Err(error) => tracing::debug!(%error, "weights aren't mapped"),
            }
        }
        self.builder()?.commit_from_file(file)
    }

    fn builder(&self) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.0)?
            // Batches run side by side, one a CPU: threads inside a run would only wait for each other.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // Shapes vary from batch to batch, and a memory pattern is kept for each that was seen.
            .with_memory_pattern(false)?
            .with_env_allocators()?;
        kernels::with_operators(builder)
    }
}

/// Where the files are that a graph in memory has its weights in, to ONNX Runtime.
const WEIGHTS_IN: &str = "session.model_external_initializers_file_folder_path";

/// From so many bytes on the weights of a file are mapped. Smaller ones cost more to look through than to copy.
const LARGE: u64 = 32 << 20;

/// The graph of a large file, if its weights can be mapped where they are.
fn weights_to_map(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() < LARGE {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    mapped::without_weights(&file, name).inspect_err(|error| tracing::debug!(%error, "weights aren't mapped")).ok()?
}
