//! Whose certificates are trusted: the system's authorities, and those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

use std::{env, path::Path};

use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

use crate::error::{FetchError, short};

/// Where distributions keep them all in one file.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads them. Other programs take the variables to stand in place of the system's; a private authority beside the public ones is
/// what a cluster needs.
pub(super) fn read() -> Result<RootCertStore, FetchError> {
    let named: Vec<_> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name).filter(|value| !value.is_empty())?)))
        .collect();
    let mut store = RootCertStore::empty();
    let found = load_native_certs();
    if !named.is_empty() {
        if found.certs.is_empty() {
            let problem = found.errors.first().map_or_else(|| "no certificate".to_owned(), ToString::to_string);
            let variables: Vec<_> = named.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
            let sentence = format!(
                "no certificate of an authority can be read from {} ({}); have it name a PEM file that is there",
                variables.join(" and "),
                short(&problem)
            );
            return Err(FetchError::BadSettings(sentence));
        }
        if let Some(system) = SYSTEM.iter().map(Path::new).find(|path| path.is_file()) {
            take(&mut store, load_certs_from_paths(Some(system), None));
        }
    }
    take(&mut store, found);
    if store.is_empty() {
        tracing::warn!("this system has no certificates of authorities, so no server is trusted over https");
    }
    Ok(store)
}

fn take(store: &mut RootCertStore, found: CertificateResult) {
    for error in found.errors {
        tracing::debug!(problem = %error, "certificates are passed over");
    }
    store.add_parsable_certificates(found.certs);
}
