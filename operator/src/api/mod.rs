//! The `SentimentService` custom resource, `kubesentiment.io/v1alpha1`.
//!
//! The Custom Resource Definition in `crds/` is generated from these types: doc comments become
//! the text of `kubectl explain`, and the bounds and rules become what the API server refuses.

mod auth;
mod autoscaling;
mod cache;
mod crd;
mod endpoint;
mod image;
mod inference_log;
mod labels;
mod model;
mod model_cache;
mod network;
mod pod;
mod quantity;
#[cfg(test)]
mod rules;
mod secret;
mod server;
mod source;
mod spec;
mod status;
mod stored;
mod tls;

pub use auth::{Auth, KeyLimit};
pub use autoscaling::{Autoscaling, DisruptionBudget, External, Rollout};
pub use cache::{Cache, MemoryCache, Redis};
pub use crd::crd;
pub use endpoint::EndpointUrl;
pub use image::{Image, PullPolicy, PullSecret};
pub use inference_log::InferenceLog;
pub use model::Model;
pub use model_cache::{AccessMode, ModelCache};
pub use network::{GrpcRoute, Monitoring, NetworkPolicy, ParentRef, Route, Service, ServiceType, SessionAffinity};
pub use pod::{ConfigMapRef, PodMetadata, Probe, Probes, Resources, Scheduling, Security, UserIds};
pub use quantity::{InvalidQuantity, Quantity, QuantityMap};
pub use secret::SecretKeyRef;
pub use server::{Batching, LogLevel, Protocol, Server};
pub use source::{
    AzureBlob, Builtin, Gcs, HttpSource, HuggingFace, ModelClaim, ModelImage, ModelSource, S3, SecretRef,
};
pub use spec::{Profile, SentimentService, SentimentServiceSpec};
pub use status::{ConditionType, Delivery, ModelStatus, PartReason, Reason, SentimentServiceStatus};
pub(crate) use stored::version;
pub use stored::{ServiceRef, Stored};
pub use tls::Tls;

/// Server-side apply field manager, and the value of `app.kubernetes.io/managed-by` on every child.
pub const MANAGER: &str = "kubesentiment-operator";

/// Annotation of each child: the hash of what we sent. By it a restarted operator knows that nothing has to be sent.
pub(crate) const APPLIED: &str = "kubesentiment.io/applied";
