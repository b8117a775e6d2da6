//! TLS between callers and pods.

use super::SecretKey;
use crate::api;

/// With what the server proves who it is, and callers who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Name of the Secret with the certificate and its key.
    pub secret: String,
    /// The authority of callers' certificates, where they need one.
    pub client_authority: Option<SecretKey>,
}

pub(super) fn tls(spec: &api::Tls) -> Tls {
    Tls {
        secret: spec.secret_name.clone(),
        client_authority: spec.client_ca_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "ca.crt")),
    }
}
