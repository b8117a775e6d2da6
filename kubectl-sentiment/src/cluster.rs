//! The cluster that is meant, and what is asked of it.

use std::{path::PathBuf, time::Duration};

use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use kubesentiment_operator::{
    api::{MANAGER, SentimentService},
    build::labels::{INSTANCE, MANAGED_BY},
};

use crate::error::{Error, code, is_missing_api};

/// How long a connection and an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The flags of kubectl that say which cluster is meant.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct Flags {
    /// Path of the kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// A cluster, and a namespace in it.
#[derive(Clone)]
pub struct Cluster {
    /// Talks to its API server.
    pub client: Client,
    /// The namespace that is meant.
    pub namespace: String,
}

impl Cluster {
    /// Connects to the cluster that is meant. Nothing is asked yet.
    pub async fn connect(flags: &Flags) -> Result<Self, Error> {
        let options = KubeConfigOptions { context: flags.context.clone(), ..KubeConfigOptions::default() };
        let config = match &flags.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| Error::Config(error.to_string()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None if flags.context.is_some() => Config::from_kubeconfig(&options).await,
            None => match Config::infer().await {
                Ok(config) => Ok(config),
                Err(error) => return Err(Error::Config(error.to_string())),
            },
        };
        let mut config = config.map_err(|error| Error::Config(error.to_string()))?;
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        // An answer that can't be had is told at once.
        config.default_retry = false;
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { client, namespace })
    }

    /// A service by name.
    pub async fn service(&self, name: &str) -> Result<SentimentService, Error> {
        let api: Api<SentimentService> = Api::namespaced(self.client.clone(), &self.namespace);
        match api.get(name).await {
            Err(error) if code(&error) == Some(404) && !is_missing_api(&error) => {
                Err(Error::NoService { name: name.to_owned(), namespace: self.namespace.clone() })
            }
            found => found.map_err(Error::cluster(format!("can't read SentimentService {name}"))),
        }
    }
}

/// Selects what belongs to a service, or to all of them.
#[must_use]
pub fn of_services(name: Option<&str>) -> ListParams {
    let managed = format!("{MANAGED_BY}={MANAGER}");
    ListParams::default().labels(&name.map_or_else(|| managed.clone(), |name| format!("{managed},{INSTANCE}={name}")))
}
