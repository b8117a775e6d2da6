//! Looks up what a spec refers to and the pods depend on: the content of its ConfigMap.

use std::fmt::Write;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use ring::digest;
use thiserror::Error;

use crate::{api::version, memory::Memory, validate::ValidatedService, watches::Stores};

/// Bytes of the hash that go into the annotation: enough to tell versions of one object apart.
const HASH_BYTES: usize = 8;

/// What a spec refers to, as it stands now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Hash of the content of the ConfigMap, where the spec names one.
    pub config_hash: Option<String>,
}

/// Why a reference leads nowhere.
#[derive(Debug, Error)]
pub enum DereferenceError {
    /// The ConfigMap doesn't exist.
    #[error(
        "ConfigMap \"{0}\", which spec.configMapRef names, doesn't exist in this namespace: create it, or remove spec.configMapRef"
    )]
    NoConfigMap(String),
    /// The API server could not be asked.
    #[error("ConfigMap \"{name}\" could not be read: {source}")]
    Unreachable {
        /// Its name.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

/// Looks up what `service` refers to. Content is read anew only when the watch has seen a change of it.
pub(crate) async fn dereference(
    client: &Client,
    service: &ValidatedService,
    stores: &Stores,
    memory: &Memory,
) -> Result<References, DereferenceError> {
    let Some(name) = &service.config_map else { return Ok(References::default()) };
    let seen = stores.config_map_version(&service.namespace, name);
    if let Some(hash) = seen.and_then(|version| memory.config(version)) {
        return Ok(References { config_hash: Some(hash.to_string()) });
    }
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &service.namespace);
    let found = api
        .get_opt(name)
        .await
        .map_err(|source| DereferenceError::Unreachable { name: name.clone(), source: Box::new(source) })?;
    let Some(config_map) = found else {
        // No pod of a suspended service would miss it.
        if service.suspended {
            return Ok(References::default());
        }
        return Err(DereferenceError::NoConfigMap(name.clone()));
    };
    let hash = hash(&config_map);
    memory.note_config(version(&config_map.metadata), hash.as_str().into());
    Ok(References { config_hash: Some(hash) })
}

/// A hash of the content alone: a label on the ConfigMap is no reason to roll pods.
#[must_use]
pub fn hash(config_map: &ConfigMap) -> String {
    // Both are sorted maps with text keys: their JSON is always the same, and can't fail.
    let content = serde_json::to_vec(&(&config_map.data, &config_map.binary_data)).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, &content);
    digest.as_ref().iter().take(HASH_BYTES).fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hash_of(object: serde_json::Value) -> String {
        hash(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_content_alone_decides() {
        let first = hash_of(json!({"metadata": {"name": "a"}, "data": {"server.yaml": "log_level: debug"}}));
        assert_eq!(first.len(), 16);
        assert_eq!(
            first,
            hash_of(json!({"metadata": {"labels": {"x": "y"}}, "data": {"server.yaml": "log_level: debug"}}))
        );
        assert_ne!(first, hash_of(json!({"data": {"server.yaml": "log_level: info"}})));
        assert_ne!(first, hash_of(json!({"data": {"other.yaml": "log_level: debug"}})));
        assert_ne!(first, hash_of(json!({"binaryData": {"server.yaml": "bG9n"}})));
    }
}
