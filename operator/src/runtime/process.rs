//! What a process does before and after the controller runs.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use kube::Config;
use thiserror::Error;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    client,
    health::Health,
    leader::Elector,
    logging, signals,
    stopping::{GRACE, until_stopped},
    watchdog::{PATIENCE, Watchdog},
};
use crate::{
    cli::Run,
    controller::Operator,
    image::ServerImage,
    metrics::Metrics,
    validate::{InvalidHost, ModelHosts},
    watches::Scope,
};

/// Why the controller could not run, or can't go on.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The log filter can't be read.
    #[error("--log-level {text:?}: {source}")]
    LogLevel {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A host that models may come from can't be read.
    #[error(transparent)]
    ModelHosts(#[from] InvalidHost),
    /// There is no way to reach an API server.
    #[error("no API server: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Client(#[from] Box<kube::Error>),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}; choose another --listen-address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Another replica may lead now.
    #[error("the lease {0} is lost; ending, so that no two replicas work at once")]
    LeaseLost(String),
    /// Work waits, and none comes to its end.
    #[error(
        "no reconciliation has come to its end for {} s while some were under way; ending, so that another replica may do better. What was asked last, and how it was answered, is in api_requests_total and the lines before",
        PATIENCE.as_secs()
    )]
    Stuck,
    /// Signals can't be received.
    #[error("can't wait for signals: {0}")]
    Signal(io::Error),
}

/// Runs the controller until a signal comes, or it can't go on.
pub async fn run(settings: Run) -> Result<(), ProcessError> {
    logging::start(&settings.log_level, settings.log_format)
        .map_err(|source| ProcessError::LogLevel { text: settings.log_level.clone(), source })?;
    let model_hosts = ModelHosts::new(&named(settings.model_hosts))?;
    let metrics = Metrics::default();
    let config = Config::infer().await.map_err(|error| Box::new(kube::Error::InferConfig(error)))?;
    let client = client::connect(config, &metrics.api_requests).map_err(Box::new)?;
    let namespaces = named(settings.watch_namespaces);
    let scopes = Scope::of(&namespaces);
    let health = Health::new(metrics.clone());
    let address = settings.listen_address;
    let listener = TcpListener::bind(address).await.map_err(|source| ProcessError::Listen { address, source })?;

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        default_image = %settings.default_image,
        %model_hosts,
        image_volumes = ?settings.image_volumes,
        ?namespaces,
        %address,
        "starting"
    );
    let stop = CancellationToken::new();
    let stop_port = CancellationToken::new();
    let port = tokio::spawn(health.clone().serve(listener, stop_port.clone()));
    let signals = signals::cancel_at_signal(stop.clone()).map_err(ProcessError::Signal)?;
    let elector = (!settings.lease_namespace.is_empty())
        .then(|| Elector::new(client.clone(), &settings.lease_namespace, &settings.lease_name, &settings.identity));
    let default_image =
        ServerImage { reference: settings.default_image, architectures: named(settings.image_architectures) };
    let operator = Operator::new(client, default_image, metrics.clone())
        .max_rollouts(settings.max_rollouts)
        .model_hosts(model_hosts)
        .image_volumes(settings.image_volumes);
    let watchdog = operator.watchdog().clone();
    let operator = Arc::new(operator);
    let ready = {
        let health = health.clone();
        move || {
            tracing::info!("ready: all watches are answered");
            health.set_ready(true);
        }
    };
    let work = |stop: CancellationToken| async move {
        metrics.set_leader(true);
        until_stopped(operator.run(&scopes, settings.concurrency, ready, stop.clone()), &stop, GRACE).await;
        metrics.set_leader(false);
    };
    let outcome = match elector {
        None => unless_stuck(work(stop), &watchdog).await,
        Some(elector) => lead(elector, &health, work, &watchdog, stop).await,
    };
    // The probes are answered to the end, so that nobody takes a stop for a crash.
    health.set_ready(false);
    signals.abort();
    stop_port.cancel();
    let _ = timeout(Duration::from_secs(1), port).await;
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

/// What a list names: an empty variable names nothing, and not one thing without a name.
fn named(list: Vec<String>) -> Vec<String> {
    list.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Stands by until the lease is ours, and then works for as long as it is. However the work ends, a lease that is still
/// ours is given up.
async fn lead<W>(
    mut elector: Elector,
    health: &Health,
    work: impl FnOnce(CancellationToken) -> W,
    watchdog: &Watchdog,
    stop: CancellationToken,
) -> Result<(), ProcessError>
where
    W: Future<Output = ()>,
{
    tracing::info!("standing by for the lease");
    // A replica that stands by is as it should be: a rollout must not wait for it to lead.
    health.set_ready(true);
    tokio::select! {
        () = elector.acquire() => {}
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!("leading");
    health.set_ready(false);
    let outcome = tokio::select! {
        outcome = unless_stuck(work(stop), watchdog) => outcome,
        () = elector.hold() => return Err(ProcessError::LeaseLost(elector.lease())),
    };
    elector.release().await;
    outcome
}

async fn unless_stuck(work: impl Future<Output = ()>, watchdog: &Watchdog) -> Result<(), ProcessError> {
    tokio::select! {
        () = work => Ok(()),
        () = watchdog.stuck() => Err(ProcessError::Stuck),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::testing::{Fault, Server, requests};

    fn elector(server: &Server, identity: &str) -> Elector {
        Elector::new(server.client(), "system", "lease", identity)
    }

    fn holder(server: &Server) -> String {
        let lease = server.get("coordination.k8s.io", "leases", "system", "lease").unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_stuck_ends_and_gives_the_lease_up() {
        let (server, watchdog) = (Server::new(), Watchdog::default());
        let _hangs = watchdog.begin();
        let health = Health::new(Metrics::default());
        let ended = lead(elector(&server, "first"), &health, |_| pending(), &watchdog, CancellationToken::new()).await;
        assert!(matches!(ended, Err(ProcessError::Stuck)));
        assert_eq!(holder(&server), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_work_that_hangs_and_gives_the_lease_up() {
        let (server, stop) = (Server::new(), CancellationToken::new());
        let (began, stopping) = (Instant::now(), stop.clone());
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            stopping.cancel();
        });
        let health = Health::new(Metrics::default());
        let work = |stop: CancellationToken| async move {
            until_stopped(pending(), &stop, GRACE).await;
        };
        let ended = lead(elector(&server, "first"), &health, work, &Watchdog::default(), stop).await;
        assert!(ended.is_ok());
        assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
        assert_eq!(holder(&server), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_an_operator_whose_first_lists_are_out() {
        let (server, stop, metrics) = (Server::new(), CancellationToken::new(), Metrics::default());
        server.faults().inject(requests("list", "*"), Fault::Unanswered);
        let image = crate::fixtures::default_image();
        let operator = Arc::new(Operator::new(server.client(), image, metrics));
        let (began, stopping) = (Instant::now(), stop.clone());
        tokio::spawn(async move {
            sleep(Duration::from_secs(3)).await;
            stopping.cancel();
        });
        let work = |stop: CancellationToken| async move {
            let run = operator.run(&[Scope::Cluster], 8, || panic!("nothing was answered"), stop.clone());
            until_stopped(run, &stop, GRACE).await;
        };
        let health = Health::new(Metrics::default());
        let ended = lead(elector(&server, "first"), &health, work, &Watchdog::default(), stop).await;
        assert!(ended.is_ok());
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(holder(&server), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_one_that_stands_by_for_a_server_that_hangs() {
        let (server, stop) = (Server::new(), CancellationToken::new());
        server.faults().inject(requests("get", "leases"), Fault::Unanswered);
        let stopping = stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            stopping.cancel();
        });
        let health = Health::new(Metrics::default());
        let began = Instant::now();
        let ended = lead(elector(&server, "first"), &health, |_| pending(), &Watchdog::default(), stop).await;
        assert!(ended.is_ok());
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_loses_the_lease_ends_with_an_error() {
        let server = Server::new();
        server.faults().inject(requests("update", "leases"), Fault::Unanswered);
        server.faults().inject(requests("get", "leases").after(1), Fault::Unanswered);
        let health = Health::new(Metrics::default());
        let ended =
            lead(elector(&server, "first"), &health, |_| pending(), &Watchdog::default(), CancellationToken::new())
                .await;
        let error = ended.unwrap_err().to_string();
        assert!(error.starts_with("the lease system/lease is lost; ending"), "{error}");
    }
}
