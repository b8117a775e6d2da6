//! Where a value in a Secret is.

use crate::api::SecretKeyRef;

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
}

impl SecretKey {
    pub(super) fn new(reference: &SecretKeyRef, default_key: &str) -> Self {
        Self { name: reference.name.clone(), key: reference.key.clone().unwrap_or_else(|| default_key.to_owned()) }
    }
}
