//! Makes connections to Redis.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use redis::{AsyncConnectionConfig, RedisConnectionInfo, aio::MultiplexedConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{
    guard::{Guard, Refused},
    replies::Refusal,
};
use crate::{
    config::{ConfigError, RedisConfig, RedisTls},
    secrets::{Live, Secret},
};

/// Time for name, connection, TLS and login together.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// A connection that many requests share.
pub(super) struct Connected {
    pub(super) requests: MultiplexedConnection,
    /// Drives it until it ends.
    pub(super) driver: BoxFuture<'static, ()>,
    /// Why it was given up by this side, if it was.
    pub(super) refused: Refused,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// A sentence without its full stop.
    #[error("{0}")]
    Failed(String),
    /// The server's replies are none that may come from Redis.
    #[error(transparent)]
    Refused(Refusal),
}

impl From<String> for ConnectError {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

/// What it takes to connect; made once.
pub struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    login: RedisConnectionInfo,
    password: Option<Arc<Live<Secret>>>,
}

impl Connector {
    /// Reads the certificates to trust, if there is TLS.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, ConfigError> {
        let tls = config.tls.as_ref().map(|tls| encryption(&config.host, tls)).transpose()?;
        let mut login = RedisConnectionInfo::default().set_db(config.database.into());
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        Ok(Self { host: config.host.clone(), port: config.port, tls, login, password: config.password.clone() })
    }

    /// Connects and logs in. The name is looked up each time: after a failover it may be another's.
    pub(super) async fn connect(&self) -> Result<Connected, ConnectError> {
        match timeout(CONNECT_TIME, self.connect_patiently()).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIME.as_secs()).into()),
        }
    }

    async fn connect_patiently(&self) -> Result<Connected, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        // Requests are small, and each is waited for.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                self.log_in(stream.map_err(|error| format!("TLS: {error}"))?).await
            }
            None => self.log_in(stream).await,
        }
    }

    /// What Redis said, unless it repeats the password, as servers do with a command that they don't know.
    fn without_password(&self, sentence: String) -> String {
        let repeated = self.password.as_ref().is_some_and(|password| sentence.contains(password.current().expose()));
        if repeated { "Redis refuses the login, and repeats the password".to_owned() } else { sentence }
    }

    async fn log_in(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Connected, ConnectError> {
        let (stream, refused) = Guard::new(stream);
        // Who asks bounds the time.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut login = self.login.clone();
        if let Some(password) = &self.password {
            // As it is now: its file may have changed since the last time.
            login = login.set_password(password.current().expose());
        }
        match MultiplexedConnection::new_with_config(&login, stream, config).await {
            Ok((requests, driver)) => Ok(Connected { requests, driver: driver.boxed(), refused }),
            Err(error) => Err(match refused.get() {
                Some(refusal) => ConnectError::Refused(*refusal),
                None => self.without_password(super::sentence(&error)).into(),
            }),
        }
    }
}

fn encryption(host: &str, tls: &RedisTls) -> Result<(TlsConnector, ServerName<'static>), ConfigError> {
    let roots = match &tls.authorities {
        Some(file) => authorities(file).map_err(|problem| ConfigError::File { file: file.clone(), problem })?,
        None => system_authorities().ok_or(ConfigError::NoAuthorities)?,
    };
    let bad_host = |error: &dyn std::error::Error| ConfigError::BadValue {
        setting: "MLOPS_REDIS_HOST".to_owned(),
        value: host.into(),
        allowed: format!("a name that a certificate can be for ({error})"),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| bad_host(&error))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad_host(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let pem = std::fs::read(file).map_err(|error| format!("can't be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("holds a certificate that can't be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("holds no certificate; give the PEM file of the authority that signed Redis' own".to_owned());
    }
    Ok(roots)
}

/// What the system trusts, or the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. One broken
/// certificate among them doesn't spoil the rest.
fn system_authorities() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (!roots.is_empty()).then_some(roots)
}
