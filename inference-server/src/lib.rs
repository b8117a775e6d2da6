//! The inference server: `sentiment-server` answers HTTP requests for the sentiment of texts with
//! an ONNX model.

pub mod access;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cpus;
pub mod drift;
pub mod grpc;
pub mod http;
pub mod inference_log;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod model_command;
pub mod open_inference;
pub mod outgoing;
pub mod predict;
pub mod process;
pub mod protocol;
pub mod recent;
pub mod secrets;
pub mod serve;
pub mod startup;
mod text_file;
pub mod traces;
mod version;

pub use version::version;
