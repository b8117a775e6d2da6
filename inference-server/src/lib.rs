//! The inference server: `sentiment-server` answers HTTP requests for the sentiment of texts with
//! an ONNX model.

pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod process;
pub mod serve;
pub mod startup;

/// Version of the server: the release that an image was built as, else the crate's.
pub const VERSION: &str = match option_env!("KUBESENTIMENT_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
