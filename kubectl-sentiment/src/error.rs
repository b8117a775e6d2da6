//! Why a command could not do its work.

use std::{io, path::PathBuf};

use thiserror::Error;

/// What keeps a command from its work. Each says what to do.
#[derive(Debug, Error)]
pub enum Error {
    /// No kubeconfig, or one that can't be used.
    #[error("can't tell which cluster is meant: {0}; set KUBECONFIG, --kubeconfig or --context")]
    Config(String),
    /// A request failed.
    #[error("{what}: {}", explained(.source))]
    Cluster {
        /// What was tried.
        what: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// There is no such service.
    #[error(
        "there is no SentimentService \"{name}\" in namespace \"{namespace}\"; those that there are: kubectl get ssvc -A"
    )]
    NoService {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// A file can't be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The standard output can't be written.
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
    /// A document isn't what it should be.
    #[error("{0}")]
    Document(String),
    /// A file without a service.
    #[error("{0} holds no SentimentService of kubesentiment.io/v1alpha1")]
    NoDocument(String),
    /// A spec that the operator would not take.
    #[error("{place}: {sentence}")]
    Invalid {
        /// File and document, or name.
        place: String,
        /// Why.
        sentence: String,
    },
    /// A service didn't answer as it should.
    #[error("{0}")]
    Answer(String),
    /// The command line asks for what can't be.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// A request that failed while this was tried.
    pub fn cluster(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Cluster { what, source: Box::new(source) }
    }

    /// A file that can't be read or written.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// The status code of a refusal.
#[must_use]
pub fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}

/// Whether it is the kind that isn't there, and no object of it. An object is named in the refusal.
#[must_use]
pub fn is_missing_api(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 && !status.message.contains("\" not found"))
}

/// What went wrong, and what to do about it.
fn explained(error: &kube::Error) -> String {
    match error {
        error if is_missing_api(error) => {
            "the cluster doesn't know SentimentServices: install the operator with its CustomResourceDefinition"
                .to_owned()
        }
        kube::Error::Api(status) if status.code == 403 => {
            format!("{}: ask for a Role with this right", status.message)
        }
        kube::Error::Api(status) if status.code == 401 => {
            "the API server doesn't know you: log in anew, or set --context".to_owned()
        }
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            format!("{}: see that the API server is up and that the context is right", chain(error))
        }
        other => chain(other),
    }
}

/// An error with those that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let words = deeper.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = deeper.source();
    }
    text
}
