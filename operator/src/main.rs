//! The operator's entry point.

use std::process::ExitCode;

use clap::Parser;
use kubesentiment_operator::cli::{self, Cli};

// Two threads do for thousands of services, and each one more costs memory.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match cli::main(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kubesentiment-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
