//! The `SentimentService` custom resource, `kubesentiment.io/v1alpha1`.
//!
//! The Custom Resource Definition in `crds/` is generated from these types: doc comments become
//! the text of `kubectl explain`, and the bounds and rules become what the API server refuses.

mod quantity;
mod spec;
mod status;

pub use quantity::{InvalidQuantity, Quantity, QuantityMap};
pub use spec::{
    Batching, Builtin, Image, LogLevel, Model, ModelSource, PodMetadata, Probe, Probes, Profile, PullPolicy,
    PullSecret, Resources, SentimentService, SentimentServiceSpec, Server, Service, ServiceType,
};
pub use status::{ConditionType, ModelStatus, Reason, SentimentServiceStatus};

/// Server-side apply field manager, and the value of `app.kubernetes.io/managed-by` on every child.
pub const MANAGER: &str = "kubesentiment-operator";
