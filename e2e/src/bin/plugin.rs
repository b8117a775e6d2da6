//! `kubectl sentiment` for the tests on the node, built with them.

use std::process::ExitCode;

use clap::Parser;
use kubectl_sentiment::cli::{self, Cli};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Box::pin(cli::run(Cli::parse())).await
}
