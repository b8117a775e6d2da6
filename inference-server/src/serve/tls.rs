//! TLS for a port, with certificates that are replaced while it serves.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsAcceptor;

use crate::secrets::{Identity, Live};

/// Protocols that the ports speak inside of TLS, by their names in ALPN.
pub const HTTP_1: &[&str] = &["http/1.1"];
/// As [`HTTP_1`], of gRPC.
pub const HTTP_2: &[&str] = &["h2"];

/// What a port takes connections with. Each connection keeps the certificate that it began with.
#[derive(Debug)]
pub struct Acceptor {
    identity: Arc<Live<Identity>>,
    protocols: &'static [&'static str],
    latest: Mutex<Latest>,
}

/// An acceptor, and what it was made of. Sessions that clients resume are its own: none outlives a renewed authority.
struct Latest {
    identity: Arc<Identity>,
    acceptor: TlsAcceptor,
}

impl Latest {
    fn of(identity: Arc<Identity>, protocols: &[&str]) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(identity.server_config(protocols)));
        Self { identity, acceptor }
    }
}

impl std::fmt::Debug for Latest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Acceptor {
    /// For a port on which clients speak one of these protocols.
    #[must_use]
    pub fn new(identity: Arc<Live<Identity>>, protocols: &'static [&'static str]) -> Self {
        let latest = Mutex::new(Latest::of(identity.current(), protocols));
        Self { identity, protocols, latest }
    }

    /// What a connection that came just now is accepted with.
    #[must_use]
    pub fn current(&self) -> TlsAcceptor {
        let identity = self.identity.current();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&latest.identity, &identity) {
            *latest = Latest::of(identity, self.protocols);
        }
        latest.acceptor.clone()
    }
}
