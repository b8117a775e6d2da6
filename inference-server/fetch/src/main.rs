//! `model-fetch`: see `--help`.

use std::{env, fs::File, io::Write, process::ExitCode};

use clap::Parser;
use model_fetch::{FetchError, cli::Arguments, logging, run};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start();
    // More threads have nothing to do: one waits for disks while the other waits for the network.
    let runtime = match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&FetchError::BadSettings(format!("no threads can be started: {error}"))),
    };
    let outcome = runtime.block_on(async {
        // On a task of its own, where files may be read and written without anyone waiting for it.
        let fetching = tokio::spawn(async move { run(&arguments).await });
        tokio::select! {
            outcome = fetching => outcome.unwrap_or_else(|panic| Err(FetchError::BadSettings(panic.to_string()))),
            () = stopped() => Err(FetchError::Stopped),
        }
    });
    // What is being unpacked isn't waited for: the next start does it again.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Ends with a signal. The first process of a container has to listen for it, or it would be killed half a minute later.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Says why, in the log and to where Kubernetes reads it from. A host without that file is no Kubernetes.
fn fail(error: &FetchError) -> ExitCode {
    tracing::error!("{error}");
    let file = env::var_os("TERMINATION_LOG").unwrap_or_else(|| "/dev/termination-log".into());
    if let Ok(mut file) = File::options().write(true).truncate(true).open(file) {
        let _ = write!(file, "ModelFetchFailed: {error}");
    }
    ExitCode::FAILURE
}
