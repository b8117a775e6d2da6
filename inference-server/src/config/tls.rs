//! TLS for those who call.

use std::sync::Arc;

use super::{ConfigError, Reader, Variable, variables};
use crate::secrets::{Identity, Live, TlsFiles, Unusable, tls};

static TLS_CERT_FILE: Variable = Variable::secret_file(
    tls::CERTIFICATE,
    "PEM file of the server's certificate and those between it and its authority: speak HTTPS; read again when it changes",
);
static TLS_KEY_FILE: Variable =
    Variable::secret_file(tls::KEY, "PEM file of that certificate's key, without a passphrase");
static TLS_CLIENT_CA_FILE: Variable = Variable::secret_file(
    tls::CLIENT_AUTHORITIES,
    "PEM file of authorities of which clients must show a certificate; default none is asked for",
);

/// In the order of `--help`.
pub(super) static SETTINGS: [&Variable; 3] = [&TLS_CERT_FILE, &TLS_KEY_FILE, &TLS_CLIENT_CA_FILE];

/// Reads what the server proves itself with; `None` when it speaks plain HTTP.
pub(super) fn read(read: &Reader<'_>) -> Result<Option<Arc<Live<Identity>>>, ConfigError> {
    let certificate = read.path_of_secret(&TLS_CERT_FILE)?;
    let key = read.path_of_secret(&TLS_KEY_FILE)?;
    let client_authorities = read.path_of_secret(&TLS_CLIENT_CA_FILE)?;
    let needs = |name, needs| Err(ConfigError::Needs { setting: read.written(name), needs });
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => TlsFiles { certificate, key, client_authorities },
        (Some(_), None) => return needs(&TLS_CERT_FILE, "MLOPS_TLS_KEY_FILE is set too"),
        (None, Some(_)) => return needs(&TLS_KEY_FILE, "MLOPS_TLS_CERT_FILE is set too"),
        (None, None) if client_authorities.is_some() => {
            return needs(&TLS_CLIENT_CA_FILE, "MLOPS_TLS_CERT_FILE and MLOPS_TLS_KEY_FILE are set too");
        }
        (None, None) => return Ok(None),
    };
    let identity = Identity::read(&files).map_err(|Unusable { variable, problem }| ConfigError::Secret {
        place: format!(
            "the file that {} names",
            variables::find(variable).map_or(variable.to_owned(), |found| read.written(found))
        ),
        problem,
    })?;
    let path = files.certificate.clone();
    let read_again = move || Identity::read_again(&files);
    Ok(Some(Arc::new(Live::following(TLS_CERT_FILE.name, &path, identity, read_again))))
}
