//! How other servers are asked over HTTP, from threads that may block.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_rustls::rustls::crypto::ring;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// Why a file of authorities can't be used; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It can't be read.
    #[error("the authorities of {setting} can't be read from {path}: {source}")]
    Unreadable {
        /// The variable that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds none.
    #[error("{path}, which {setting} names, holds no certificate in PEM form")]
    Empty {
        /// The variable that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// A client of one server, whose every answer comes in time. `setting` names the variable of the authorities' file.
pub fn agent(
    url: &str,
    authorities: Option<&Path>,
    setting: &'static str,
    answer_within: Duration,
) -> Result<Agent, AuthoritiesError> {
    let mut agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(answer_within));
    // Loading the system's authorities takes longer than the rest of the start.
    if url.starts_with("https:") {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(certificates(authorities, setting)?)))
            .build();
        agent = agent.tls_config(tls);
    }
    Ok(agent.build().new_agent())
}

/// The certificates in a file, or the system's.
fn certificates(file: Option<&Path>, setting: &'static str) -> Result<Vec<Certificate<'static>>, AuthoritiesError> {
    let Some(path) = file else {
        let system = rustls_native_certs::load_native_certs().certs;
        return Ok(system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect());
    };
    let path = path.to_owned();
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(AuthoritiesError::Unreadable { setting, path, source }),
    };
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { Err(AuthoritiesError::Empty { setting, path }) } else { Ok(certificates) }
}
