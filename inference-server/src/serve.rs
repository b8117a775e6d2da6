//! Runs the server: listen, load, serve, drain, end.

mod connections;
mod signals;

use std::{env, process::ExitCode, sync::Arc, time::Instant};

use crate::{
    config::{Config, Environment, Reader},
    http::{self, App},
    logging,
    startup::{self, StartError},
};
use connections::Connections;
use signals::{Signals, Stop};

/// The whole life of the process after its command line.
#[must_use]
pub fn run(print_config: bool) -> ExitCode {
    let started = Instant::now();
    native::return_large_blocks();
    let environment: Environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let config = match Config::read(&environment) {
        Ok(config) => config,
        Err(error) => {
            logging::start(tracing::Level::INFO, crate::config::LogFormat::Json);
            let error = StartError::from(error);
            let log = Reader::new(&environment).raw("MLOPS_TERMINATION_LOG");
            error.write_termination_log(log.as_ref());
            return fail(&error);
        }
    };
    if print_config {
        print!("{}", Reader::new(&environment).print());
        return ExitCode::SUCCESS;
    }
    logging::start(config.log_level, config.log_format);
    startup::warn_of_variables_without_effect(&environment);

    let termination_log = config.termination_log.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // HTTP is a small part of the work; more threads than this only take CPU from inference.
        .worker_threads(startup::usable_cpus().div_ceil(4).max(1))
        .enable_all()
        .build();
    let outcome = runtime.map_err(StartError::Threads).and_then(|runtime| {
        let outcome = runtime.block_on(serve(config, started));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.write_termination_log(&termination_log);
            fail(&error)
        }
    }
}

fn fail(error: &StartError) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}

async fn serve(config: Config, started: Instant) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Threads)?;
    let listener = startup::listen(&config).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, prefix = config.prefix(), profile = config.profile.as_str(), "listening");
    }
    let drain = config.drain;
    let app = Arc::new(App::new(config));
    let connections = Connections::accept(listener, http::router(&app));

    let loading = Arc::clone(&app);
    let load = tokio::task::spawn_blocking(move || startup::load(&loading, started));
    tokio::select! {
        loaded = load => match loaded {
            Ok(loaded) => loaded?,
            Err(panic) => return Err(StartError::Threads(panic.into())),
        },
        _ = signals.next() => return Ok(()),
    }

    let stop = signals.next().await;
    app.start_draining();
    if stop == Stop::Terminate {
        tracing::info!(seconds = drain.as_secs(), "draining");
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            _ = signals.next() => {}
        }
    }
    tokio::select! {
        () = connections.finish() => tracing::info!("stopped"),
        _ = signals.next() => tracing::warn!("stopped with requests unfinished"),
    }
    Ok(())
}
