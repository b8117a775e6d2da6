//! A record of each answer, for whoever wants to know what the model said.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// A record of each answer: to an HTTP endpoint as a CloudEvent, to the standard output, or to both. It never holds an
/// answer up: what finds no room is counted and dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.url) || self.stdout").message(
    "inferenceLog leads nowhere: set url, stdout or both"
))]
#[x_kube(validation = Rule::new("has(self.url) || !has(self.headersSecretRef)").message(
    "inferenceLog.headersSecretRef has the headers of requests to inferenceLog.url: set url, or leave it out"
))]
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || (has(self.url) && self.url.startsWith('https://'))").message(
    "inferenceLog.caSecretRef has the authority of an https url: set such an inferenceLog.url, or leave it out"
))]
pub struct InferenceLog {
    /// Where the records are sent, such as `https://records.example.com/sentiment`. The NetworkPolicy lets the pods call
    /// its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(
        r"self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[-A-Za-z0-9._~%!$&*+,;=:@/]*)?$')"
    ).message(
        "inferenceLog.url is a scheme and a host, such as https://records.example.com/sentiment: no user, no query and no '#'; what is secret belongs in headersSecretRef"
    ))]
    pub url: Option<String>,
    /// Writes the records to the standard output, one JSON object a line.
    #[serde(default)]
    pub stdout: bool,
    /// The share of the answers that is recorded, from 0 to 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: Option<f64>,
    /// Whether a record has the text that was sent. Default: false, since texts may say who wrote them.
    #[serde(default)]
    pub include_text: bool,
    /// Records that may wait for the endpoint; more are dropped. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: Option<i32>,
    /// Headers of each request, such as a token, one `name=value` a line. Default key: `headers`. Pods read them again
    /// when they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretKeyRef>,
    /// The authority that the endpoint's certificate is checked by, in PEM form. Default key: `ca.crt`. Without it, the
    /// usual authorities are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}
