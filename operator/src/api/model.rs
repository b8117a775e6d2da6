//! Which model is served.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The model to serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Name of the model in predictions and metrics. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"))]
    pub name: Option<String>,
    /// Where the model comes from. Default: `builtin: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModelSource>,
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

/// Where a model comes from: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.builtin)").message("set exactly one model source: builtin: {}"))]
pub struct ModelSource {
    /// The model that the server image carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
}

/// The model that the server image carries. It has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Builtin {}
