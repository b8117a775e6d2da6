//! Which model is served.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ModelCache, ModelSource};

/// The model to serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.cache) || (has(self.source) && !has(self.source.builtin) && !has(self.source.image) && !has(self.source.persistentVolumeClaim))"
).message(
    "model.cache keeps what is fetched: it goes with the sources huggingFace, s3, gcs, azureBlob and http; leave it out"
))]
pub struct Model {
    /// Name of the model in predictions and metrics. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"))]
    pub name: Option<String>,
    /// Where the model comes from. Default: `builtin: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModelSource>,
    /// The digest that the model must have, as `sentiment-server model digest` prints it. Another one is never served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// A volume that keeps what is fetched, so that the next pod fetches nothing. Default: each pod fetches its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ModelCache>,
    /// Tokens that a text is cut to. Default: what the model was trained for, at most 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 8192))]
    pub max_tokens: Option<i32>,
    /// Names of the model's classes, by index. Default: `id2label` of its `config.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new("self.size() != 1").message(
        "model.labels names the classes of the model by index: give at least two, or leave it out"
    ))]
    pub labels: Vec<String>,
    /// Answers `NEUTRAL` where the winning probability is below this. Default: 0, which is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    #[x_kube(validation = Rule::new("double(self) < 1.0").message(
        "model.neutralBand is a probability from 0 to below 1: with 1, every answer would be NEUTRAL"
    ))]
    pub neutral_band: Option<f64>,
}
