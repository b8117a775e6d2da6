//! TLS between callers and pods.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// TLS on the ports of callers, 8000 and 8001. Probes and series go to port 8081, which stays plain HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// A Secret of the same namespace with the certificate in `tls.crt` and its key in `tls.key`, as cert-manager makes
    /// it. Pods read it again when it is renewed.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// Asks callers for a certificate of this authority, and refuses those without. Default key: `ca.crt`.
    #[serde(default, rename = "clientCASecretRef", skip_serializing_if = "Option::is_none")]
    pub client_ca_secret_ref: Option<SecretKeyRef>,
}
