//! Secrets as files. The server reads a file again when it changes, and a variable only when it starts.

use crate::validate::{SecretKey, ValidatedService};

/// Name of the file, whatever the Secret calls its key.
pub(super) const FILE: &str = "value";

/// A key of a Secret that is mounted for the server.
pub(super) struct SecretFile<'a> {
    /// Name of the volume.
    pub volume: &'static str,
    /// The variable that names the file to the server.
    pub variable: &'static str,
    /// Where the value is.
    pub key: &'a SecretKey,
}

impl SecretFile<'_> {
    /// Where the Secret is mounted. A whole folder, since the kubelet brings what changes to no single file.
    pub(super) fn folder(&self) -> String {
        format!("/app/secrets/{}", self.volume)
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{FILE}", self.folder())
    }
}

pub(super) fn of(service: &ValidatedService) -> Vec<SecretFile<'_>> {
    let key = service.api_key.as_ref();
    let password = service.cache.redis.as_ref().and_then(|redis| redis.password.as_ref());
    let file = |volume, variable, key: Option<_>| key.map(|key| SecretFile { volume, variable, key });
    [file("api-key", "MLOPS_API_KEY_FILE", key), file("redis-password", "MLOPS_REDIS_PASSWORD_FILE", password)]
        .into_iter()
        .flatten()
        .collect()
}
