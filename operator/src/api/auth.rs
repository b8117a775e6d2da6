//! Who may call, and how much.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// The key that callers send as `X-API-Key`, in a Secret of the same namespace. Default key:
    /// `api-key`. It is mounted as a file, which pods read again when it changes. It may hold several keys, one
    /// `name: key` a line.
    pub api_key_secret_ref: SecretKeyRef,
    /// How much the callers with a key may ask of each pod. Default: as much as they like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 101))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub limits: Vec<KeyLimit>,
}

/// How much the callers with one key may ask of each pod. What is over it is refused with 429 and `Retry-After`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.requestsPerSecond) || has(self.concurrency)").message(
    "a limit limits nothing: set requestsPerSecond, concurrency or both"
))]
#[x_kube(validation = Rule::new("!has(self.burst) || has(self.requestsPerSecond)").message(
    "burst is how far requestsPerSecond may be exceeded for a moment: set requestsPerSecond too, or leave burst out"
))]
pub struct KeyLimit {
    /// Name of the key in the Secret; `default` for one without a name, and `*` for each key that has no limit of its
    /// own.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^(\*|[A-Za-z0-9._-]+)$"))]
    pub name: String,
    /// Requests a second, over time. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<i32>,
    /// Requests that may come at once after a pause. Default: as many as in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<i32>,
    /// Requests that may be under way at a time. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: Option<i32>,
}
