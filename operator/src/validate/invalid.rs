//! Why a spec can't be built, and what to do about it.

use thiserror::Error;

use crate::{
    api::{InvalidQuantity, Quantity},
    image::InvalidImage,
};

/// Why a spec can't be built.
#[derive(Debug, Error, PartialEq)]
pub enum Invalid {
    /// The object has no uid or namespace: it never came from an API server.
    #[error("metadata.{0} is missing")]
    Metadata(&'static str),
    /// The name is no DNS label.
    #[error(
        "metadata.name \"{0}\" can't be the name of a Service: use at most 63 lower case letters, digits and '-', and begin with a letter"
    )]
    Name(String),
    /// A number is out of its range.
    #[error("spec.{field} is {value}; set it to a number from {min} to {max}")]
    OutOfRange {
        /// Path below `spec`.
        field: &'static str,
        /// What it is.
        value: i32,
        /// Smallest value that is allowed.
        min: i32,
        /// Largest value that is allowed.
        max: i32,
    },
    /// Not exactly one model source is set.
    #[error("spec.model.source names no source: set exactly one, such as builtin: {{}}")]
    ModelSource,
    /// The image can't be named.
    #[error("spec.image: {0}")]
    Image(#[from] InvalidImage),
    /// A quantity can't be read.
    #[error("spec.resources.{list}.{name}: {source}")]
    Quantity {
        /// `requests` or `limits`.
        list: &'static str,
        /// Resource name.
        name: String,
        /// What is wrong with it.
        source: InvalidQuantity,
    },
    /// A request is larger than its limit.
    #[error(
        "spec.resources.requests.{name} {request} exceeds spec.resources.limits.{name} {limit}: lower the request or raise the limit"
    )]
    RequestOverLimit {
        /// Resource name.
        name: String,
        /// The request.
        request: Quantity,
        /// The limit.
        limit: Quantity,
    },
    /// A label would collide with the operator's own.
    #[error("spec.{field}: {key} is the operator's own label: choose another key")]
    ReservedLabel {
        /// Path below `spec`.
        field: &'static str,
        /// Key of the label.
        key: String,
    },
    /// An environment variable is listed twice.
    #[error("spec.env lists {0} twice: keep one")]
    DuplicateEnv(String),
    /// An origin isn't one.
    #[error(
        "spec.server.allowedOrigins: \"{0}\" is not an origin: write a scheme and a host, such as https://shop.example.com, without a path and without '*'"
    )]
    Origin(String),
    /// Both ways to say how many pods run.
    #[error("spec.replicas and spec.autoscaling are both set: remove one of them")]
    TwoScales,
    /// The bounds of the autoscaler contradict each other.
    #[error("spec.autoscaling.minReplicas {min} exceeds maxReplicas {max}: lower the one or raise the other")]
    InvertedBounds {
        /// `minReplicas`.
        min: i32,
        /// `maxReplicas`.
        max: i32,
    },
    /// Not exactly one bound of the budget is set.
    #[error("spec.disruptionBudget: set exactly one of minAvailable and maxUnavailable")]
    BudgetBounds,
    /// A bound of the budget is no number of pods.
    #[error("spec.disruptionBudget: \"{0}\" is neither a number of pods, such as 1, nor a percentage, such as 50%")]
    BudgetAmount(String),
    /// A peer says too much or nothing.
    #[error(
        "spec.networkPolicy.{list}[{index}]: set an ipBlock, or a podSelector, a namespaceSelector, or the last two together"
    )]
    Peer {
        /// `ingressFrom` or `egressTo`.
        list: &'static str,
        /// Place in the list.
        index: usize,
    },
    /// One class alone.
    #[error("spec.model.labels names a single class: name every class of the model by index, or leave it out")]
    SingleLabel,
    /// Not a probability below 1.
    #[error("spec.model.neutralBand is {0}: set it to a number from 0 to below 1")]
    NeutralBand(f64),
    /// A variable that would move the server away from its probes.
    #[error("spec.env: {0} is the operator's: set spec.service.port for another port of the Service")]
    OwnVariable(String),
    /// A variable beside the field for the same secret.
    #[error("spec.env: {variable} and spec.{field} are both set: keep one")]
    SecretTwice {
        /// Name of the variable.
        variable: String,
        /// Path of the field below `spec`.
        field: &'static str,
    },
    /// A key that the pods would do without.
    #[error(
        "spec.env: MLOPS_API_KEY is optional, and without its Secret the pods would serve everybody: remove optional"
    )]
    OptionalKey,
}
