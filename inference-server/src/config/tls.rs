//! TLS for those who call.

use std::sync::Arc;

use super::{ConfigError, Reader};
use crate::secrets::{Identity, Live, TlsFiles, Unusable};

/// Reads what the server proves itself with; `None` when it speaks plain HTTP.
pub(super) fn read(read: &Reader<'_>) -> Result<Option<Arc<Live<Identity>>>, ConfigError> {
    let (certificate_name, key_name) = ("MLOPS_TLS_CERT_FILE", "MLOPS_TLS_KEY_FILE");
    let certificate = read.path_of_secret(certificate_name)?;
    let key = read.path_of_secret(key_name)?;
    let client_authorities = read.path_of_secret("MLOPS_TLS_CLIENT_CA_FILE")?;
    let needs = |name, needs| Err(ConfigError::Needs { setting: read.written(name), needs });
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => TlsFiles { certificate, key, client_authorities },
        (Some(_), None) => return needs(certificate_name, "MLOPS_TLS_KEY_FILE is set too"),
        (None, Some(_)) => return needs(key_name, "MLOPS_TLS_CERT_FILE is set too"),
        (None, None) if client_authorities.is_some() => {
            return needs("MLOPS_TLS_CLIENT_CA_FILE", "MLOPS_TLS_CERT_FILE and MLOPS_TLS_KEY_FILE are set too");
        }
        (None, None) => return Ok(None),
    };
    let identity = Identity::read(&files).map_err(|Unusable { variable, problem }| ConfigError::Secret {
        place: format!("the file that {} names", read.written(variable)),
        problem,
    })?;
    let path = files.certificate.clone();
    let read_again = move || Identity::read_again(&files);
    Ok(Some(Arc::new(Live::following(certificate_name, &path, identity, read_again))))
}
