//! What the server proves itself with: its certificate and key, and the authorities that its clients' must be of.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use ring::digest::{Context, SHA256};
use tokio_rustls::rustls::{
    Error, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring as provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::live::MOST_BYTES;
use crate::text_file;

/// The variable that names the certificate's file.
pub const CERTIFICATE: &str = "MLOPS_TLS_CERT_FILE";
/// The variable that names the key's file.
pub const KEY: &str = "MLOPS_TLS_KEY_FILE";
/// The variable that names the file of clients' authorities.
pub const CLIENT_AUTHORITIES: &str = "MLOPS_TLS_CLIENT_CA_FILE";

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// Authorities of which clients must show a certificate; `None` asks for none.
    pub client_authorities: Option<PathBuf>,
}

/// A file that can't be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The variable that names it.
    pub variable: &'static str,
    /// What is wrong with it, as the end of a sentence that begins with the file. Never quotes it.
    pub problem: String,
}

impl Unusable {
    fn certificate(problem: impl Into<String>) -> Self {
        Self { variable: CERTIFICATE, problem: problem.into() }
    }

    fn key(problem: impl Into<String>) -> Self {
        Self { variable: KEY, problem: problem.into() }
    }

    fn client_authorities(problem: impl Into<String>) -> Self {
        Self { variable: CLIENT_AUTHORITIES, problem: problem.into() }
    }

    /// The end of a sentence that begins with the certificate's file, whichever is at fault.
    fn of_all(self) -> String {
        let Self { variable, problem } = self;
        if variable == CERTIFICATE { problem } else { format!("is not used: the file that {variable} names {problem}") }
    }
}

/// Certificate and key of one issue, ready for use. Two are equal when their files are.
pub struct Identity {
    config: ServerConfig,
    expires: i64,
    digest: [u8; 32],
}

impl Identity {
    /// Reads the files as they are now.
    pub fn read(files: &TlsFiles) -> Result<Self, Unusable> {
        let text =
            |variable, path: &Path| text_file::read(path, MOST_BYTES).map_err(|problem| Unusable { variable, problem });
        let authorities = files.client_authorities.as_deref().map(|path| text(CLIENT_AUTHORITIES, path)).transpose()?;
        Self::parse(&text(CERTIFICATE, &files.certificate)?, &text(KEY, &files.key)?, authorities.as_deref())
    }

    /// As [`Self::read`], for one who follows the files: the error begins with the certificate's.
    pub fn read_again(files: &TlsFiles) -> Result<Self, String> {
        Self::read(files).map_err(Unusable::of_all)
    }

    /// As [`Self::read`], of what the files hold.
    pub(crate) fn parse(certificates: &str, key: &str, authorities: Option<&str>) -> Result<Self, Unusable> {
        let provider = Arc::new(provider::default_provider());
        let (certified, expires) = certified(certificates, key, &provider)?;
        let clients = authorities.map(|pem| verifier(pem, &provider)).transpose()?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::certificate(format!("can't be used: {error}")))?;
        let builder = match clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(Self { config, expires, digest: digest([certificates, key, authorities.unwrap_or_default()]) })
    }

    /// How TLS is spoken with it, by those who speak one of these protocols inside.
    #[must_use]
    pub fn server_config(&self, protocols: &[&str]) -> ServerConfig {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    /// When the server's certificate expires, in seconds since 1970 (UTC).
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// Whether that has passed.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        let expires = Duration::from_secs(u64::try_from(self.expires).unwrap_or_default());
        SystemTime::UNIX_EPOCH + expires <= SystemTime::now()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The certificates with their key, and when the first of them expires.
fn certified(certificates: &str, key: &str, provider: &CryptoProvider) -> Result<(CertifiedKey, i64), Unusable> {
    let chain = certificates_of(certificates).map_err(Unusable::certificate)?;
    let not_usable =
        |error: &dyn fmt::Display| Unusable::certificate(format!("holds a certificate that can't be used: {error}"));
    let (_, own) = chain
        .first()
        .map(|own| x509_parser::parse_x509_certificate(own))
        .ok_or_else(|| Unusable::certificate("holds no certificate: give it the server's in PEM"))?
        .map_err(|error| not_usable(&error))?;
    let expires = own.validity().not_after.timestamp();
    let key = private_key(key).map_err(Unusable::key)?;
    let certified = CertifiedKey::from_der(chain.clone(), key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => Unusable::key(format!(
            "holds another key than that of the first certificate in the file that {CERTIFICATE} names: give both of one \
             issue, and the server's own certificate first"
        )),
        Error::InvalidCertificate(_) => not_usable(&error),
        _ => Unusable::key("holds a key that can't be used: give one of RSA, ECDSA with P-256 or P-384, or Ed25519"),
    })?;
    Ok((certified, expires))
}

fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not whole in PEM: {error}"))
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "holds a key that is encrypted, which nothing here can open: give it without a passphrase".to_owned()
        );
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "holds no whole private key in PEM: give it the certificate's".to_owned())
}

/// Lets those clients in that have a certificate of one of these authorities.
fn verifier(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let mut roots = RootCertStore::empty();
    for authority in certificates_of(pem).map_err(Unusable::client_authorities)? {
        roots.add(authority).map_err(|error| {
            Unusable::client_authorities(format!("holds a certificate that can't be used: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(Unusable::client_authorities(
            "holds no certificate: give it that of the authority that signs the clients'",
        ));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Unusable::client_authorities(format!("can't be used: {error}")))
}

/// Of all texts, each with its length before it.
fn digest(texts: [&str; 3]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
