//! Secrets as files. The server reads a file again when it changes, and a variable only when it starts.

use crate::validate::{SecretKey, Tls, ValidatedService};

/// Name of the one file of a folder, whatever the Secret calls its key.
const FILE: &str = "value";

/// A Secret that is mounted for the server. A whole folder, since the kubelet brings what changes to no single file.
pub(super) struct SecretFolder<'a> {
    /// Name of the volume.
    pub volume: &'static str,
    /// Name of the Secret.
    pub secret: &'a str,
    /// What of it is mounted.
    pub files: Vec<SecretFile<'a>>,
}

/// A key of a Secret as a file.
pub(super) struct SecretFile<'a> {
    /// The key in the Secret.
    pub key: &'a str,
    /// Name of the file.
    pub name: &'static str,
    /// The variable that names the file to the server.
    pub variable: &'static str,
}

impl SecretFolder<'_> {
    /// Where the Secret is mounted.
    pub(super) fn path(&self) -> String {
        format!("/app/secrets/{}", self.volume)
    }
}

pub(super) fn of(service: &ValidatedService) -> Vec<SecretFolder<'_>> {
    let key = service.auth.as_ref().map(|auth| &auth.keys);
    let password = service.cache.redis.as_ref().and_then(|redis| redis.password.as_ref());
    let clients = service.tls.as_ref().and_then(|tls| tls.client_authority.as_ref());
    let log = service.inference_log.as_ref();
    let headers = log.and_then(|log| log.headers.as_ref());
    let authority = log.and_then(|log| log.authority.as_ref());
    let folders = [
        single("api-key", "MLOPS_API_KEY_FILE", key),
        single("redis-password", "MLOPS_REDIS_PASSWORD_FILE", password),
        service.tls.as_ref().map(certificate),
        single("tls-client-ca", "MLOPS_TLS_CLIENT_CA_FILE", clients),
        single("inference-log-headers", "MLOPS_INFERENCE_LOG_HEADERS_FILE", headers),
        single("inference-log-ca", "MLOPS_INFERENCE_LOG_CA", authority),
    ];
    folders.into_iter().flatten().collect()
}

fn single<'a>(volume: &'static str, variable: &'static str, key: Option<&'a SecretKey>) -> Option<SecretFolder<'a>> {
    let SecretKey { name, key } = key?;
    Some(SecretFolder { volume, secret: name, files: vec![SecretFile { key, name: FILE, variable }] })
}

/// The keys are those of the type `kubernetes.io/tls`.
fn certificate(tls: &Tls) -> SecretFolder<'_> {
    let file = |name, variable| SecretFile { key: name, name, variable };
    SecretFolder {
        volume: "tls",
        secret: &tls.secret,
        files: vec![file("tls.crt", "MLOPS_TLS_CERT_FILE"), file("tls.key", "MLOPS_TLS_KEY_FILE")],
    }
}
