//! Who may call, and how much.

use super::{Invalid, SecretKey, in_range};
use crate::api::{self, KeyLimit};

/// The longest name of a key.
const LONGEST_NAME: usize = 63;

/// Who may call, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The keys that callers must send one of.
    pub keys: SecretKey,
    /// How much each may ask; names are unique.
    pub limits: Vec<KeyLimit>,
}

pub(super) fn auth(spec: &api::Auth) -> Result<Auth, Invalid> {
    for (index, limit) in spec.limits.iter().enumerate() {
        check(limit)?;
        if spec.limits[..index].iter().any(|earlier| earlier.name == limit.name) {
            return Err(Invalid::DuplicateLimit(limit.name.clone()));
        }
    }
    Ok(Auth { keys: SecretKey::new(&spec.api_key_secret_ref, "api-key"), limits: spec.limits.clone() })
}

fn check(limit: &KeyLimit) -> Result<(), Invalid> {
    let KeyLimit { name, requests_per_second, burst, concurrency } = limit;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name != "*" && (name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_allowed)) {
        return Err(Invalid::LimitName(name.clone()));
    }
    if requests_per_second.is_none() && concurrency.is_none() {
        return Err(Invalid::NoLimit(name.clone()));
    }
    if burst.is_some() && requests_per_second.is_none() {
        return Err(Invalid::BurstOfNothing(name.clone()));
    }
    let bounds = [
        ("auth.limits[].requestsPerSecond", requests_per_second, 1_000_000),
        ("auth.limits[].burst", burst, 1_000_000),
        ("auth.limits[].concurrency", concurrency, 100_000),
    ];
    for (field, value, max) in bounds {
        if let Some(value) = value {
            in_range(field, *value, 1, max)?;
        }
    }
    Ok(())
}
