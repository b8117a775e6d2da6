//! Runs the server: listen, load, serve, drain, end.

mod connections;
mod listen;
mod signals;
pub mod tls;

use std::{
    env,
    fs::File,
    io::{self, BufReader},
    path::Path,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures::future::join_all;

use crate::{
    cli::{Arguments, Command},
    config::{self, Config, ConfigError, LogFormat, Reader, Settings},
    cpus,
    drift::{self, MakeError},
    grpc,
    http::{self, App},
    inference_log::InferenceLog,
    logging,
    model_command::{self, ModelCommand},
    secrets::masked_sentence,
    startup::{self, StartError},
    traces::Traces,
};
use connections::{CallersPlaces, Connections};
use listen::Listeners;
use signals::{Signals, Stop};

/// Longest wait for the last traces and the last records of the inference log to be taken. A pod's grace period has room for that.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Longest wait for the last answers on the management port, each of which takes a moment.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Long enough that what a steady load takes again costs nothing.
const RETURN_MEMORY_EVERY: Duration = Duration::from_secs(10);

/// The whole life of the process after its command line.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    let started = Instant::now();
    kernels::forbid_telemetry();
    // HTTP is a small part of the work; more threads than this only take CPU from inference.
    let http_threads = cpus::usable().div_ceil(4);
    kernels::keep_heap_small(http_threads);
    let mut settings = Settings::of_process(env::vars_os(), arguments.config_dir);
    let config = match settings.read_files().and_then(|()| Config::of(&settings)) {
        Ok(config) => config,
        Err(error) => return refuse(&settings, error),
    };
    if let Some(Command::Model(command)) = &arguments.command {
        return run_command(command, &config);
    }
    if let Some(texts) = &arguments.make_drift_baseline {
        return make_drift_baseline(&config, texts);
    }
    if arguments.print_config {
        print!("{}", Reader::new(&settings).print());
        return ExitCode::SUCCESS;
    }
    logging::start(config.log_level, config.log_format);
    startup::tell_of_settings(&settings);

    let termination_log = config.termination_log.clone();
    // For all threads to come. A kernel that refuses is one on which refusals take some ms longer.
    if let Err(error) = kernels::run_soon_after_waking() {
        tracing::debug!(%error, "the scheduler's slice can't be set");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(http_threads).enable_all().build();
    let outcome = runtime.map_err(StartError::Threads).and_then(|runtime| {
        let outcome = runtime.block_on(serve(config, started));
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => kernels::exit_beside_running_threads(),
        Err(error) => {
            error.write_termination_log(&termination_log);
            fail(&error)
        }
    }
}

/// Gives memory back that a burst took.
async fn return_memory() {
    let mut times = tokio::time::interval(RETURN_MEMORY_EVERY);
    loop {
        times.tick().await;
        // Not on a thread that serves HTTP.
        let _ = tokio::task::spawn_blocking(kernels::return_free_memory).await;
    }
}

/// Ends a start whose settings can't be used.
fn refuse(settings: &Settings, error: ConfigError) -> ExitCode {
    logging::start(tracing::Level::INFO, LogFormat::Json);
    let error = StartError::from(error);
    error.write_termination_log(Reader::new(settings).termination_log());
    fail(&error)
}

/// Looks at a model in place of serving it.
fn run_command(command: &ModelCommand, config: &Config) -> ExitCode {
    match model_command::run(command, config, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", masked_sentence(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Prints the baseline of a file's texts, or of standard input's.
fn make_drift_baseline(config: &Config, texts: &Path) -> ExitCode {
    let made = if texts == Path::new("-") {
        drift::make(config, io::stdin().lock())
    } else {
        File::open(texts).map_err(MakeError::from).and_then(|file| drift::make(config, BufReader::new(file)))
    };
    match made {
        Ok(baseline) => {
            print!("{baseline}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", masked_sentence(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &StartError) -> ExitCode {
    tracing::error!("{}", error.sentence());
    ExitCode::FAILURE
}

/// Waits until the open requests of all ports have their responses.
async fn finish(ports: [Option<Connections>; 2]) {
    join_all(ports.into_iter().flatten().map(Connections::finish)).await;
}

async fn serve(mut config: Config, started: Instant) -> Result<(), StartError> {
    let mut signals = Signals::listen().map_err(StartError::Threads)?;
    // Before the model is loaded, so that liveness is answered from the start.
    let bind = |port, setting| Listeners::bind(config.host, port).map_err(|error| error.of_port(setting));
    let listeners = bind(config.port, &config::PORT)?;
    let management = config.management_port.map(|port| bind(port, &config::MANAGEMENT_PORT)).transpose()?;
    let calls = config.grpc_port.map(|port| bind(port, &config::GRPC_PORT)).transpose()?;
    config.port = listeners.port;
    config.grpc_port = calls.as_ref().map(|calls| calls.port);
    config.management_port = management.as_ref().map(|management| management.port);
    tracing::info!(
        address = listeners.address(),
        addresses = listeners.addresses(),
        management = management.as_ref().map(Listeners::addresses),
        tls = config.tls.is_some(),
        grpc = calls.as_ref().map(Listeners::addresses),
        prefix = config.prefix(),
        profile = config.profile.as_str(),
        "listening"
    );
    let drain = config.drain;
    let traces = config.tracing.as_ref().map(Traces::start).transpose()?;
    let app = App::new(config).with_traces(traces);
    let series = Arc::clone(&app.metrics.inference_log);
    let log = app.config.inference_log.as_ref().map(|log| InferenceLog::start(log, &series)).transpose()?;
    let app = Arc::new(app.with_inference_log(log));
    let management = management.map(|listeners| Connections::accept_management(listeners.sockets, &app));
    let places = CallersPlaces::of(&app);
    let connections = Connections::accept(listeners.sockets, &places, &app);
    let calls = match calls {
        Some(listeners) => Some(Connections::accept_calls(listeners.sockets, &places, grpc::calls(&app)?, &app)),
        None => None,
    };
    tokio::spawn(http::watch_secret_files(Arc::clone(&app)));

    let loading = Arc::clone(&app);
    let load = tokio::task::spawn_blocking(move || startup::load(&loading, started));
    tokio::select! {
        loaded = load => match loaded {
            Ok(loaded) => loaded?,
            Err(panic) => return Err(StartError::Threads(panic.into())),
        },
        _ = signals.next() => return Ok(()),
    }
    tokio::spawn(http::run_jobs(Arc::clone(&app)));
    tokio::spawn(return_memory());

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
        () = finish([Some(connections), calls]) => tracing::info!("stopped"),
        _ = signals.next() => tracing::warn!("stopped with requests unfinished"),
    }
    let lost = app.jobs.as_ref().map_or(0, |jobs| jobs.figures().active_jobs);
    if lost > 0 {
        tracing::warn!(jobs = lost, "stopped with batch jobs unfinished");
    }
    let flushing = Arc::clone(&app);
    let flush = move || {
        thread::scope(|scope| {
            scope.spawn(|| flushing.predictor.log().map(|log| log.finish(FLUSH_WITHIN)));
            if let Some(traces) = &flushing.traces {
                traces.finish(FLUSH_WITHIN);
            }
        });
    };
    let _ = tokio::task::spawn_blocking(flush).await;
    // Last, so that the end can be watched.
    if let Some(management) = management {
        let _ = tokio::time::timeout(CLOSE_WITHIN, management.finish()).await;
    }
    Ok(())
}
