//! The `SentimentService` custom resource, `kubesentiment.io/v1alpha1`.
//!
//! The Custom Resource Definition in `crds/` is generated from these types: doc comments become
//! the text of `kubectl explain`, and the bounds and rules become what the API server refuses.

mod quantity;
mod spec;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;
use serde_json::json;

pub use quantity::{InvalidQuantity, Quantity, QuantityMap};
pub use spec::{
    Batching, Builtin, Image, LogLevel, Model, ModelSource, PodMetadata, Probe, Probes, Profile, PullPolicy,
    PullSecret, Resources, SentimentService, SentimentServiceSpec, Server, Service, ServiceType,
};
pub use status::{ConditionType, ModelStatus, Reason, SentimentServiceStatus};

/// The Custom Resource Definition, as it stands in `crds/`.
///
/// `spec` defaults to `{}`. Without that, a server-side apply of `spec: {}` over a fuller spec of
/// the same manager leaves `spec: null` behind, which the API server then refuses.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = SentimentService::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            schema.required = None;
            if let Some(spec) = schema.properties.as_mut().and_then(|properties| properties.get_mut("spec")) {
                spec.default = Some(JSON(json!({})));
            }
        }
    }
    crd
}

/// Server-side apply field manager, and the value of `app.kubernetes.io/managed-by` on every child.
pub const MANAGER: &str = "kubesentiment-operator";
