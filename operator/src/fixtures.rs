//! What the unit tests of several modules start from.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use serde_json::{Value, json};

use crate::{
    api::SentimentService,
    image::ServerImage,
    validate::{ValidatedService, validate},
};

/// The server image of the operator's release.
pub(crate) fn default_image() -> ServerImage {
    "sentiment-service:distroless".parse().unwrap()
}

/// The service `reviews` in namespace `demo`, as an API server would hand it out.
pub(crate) fn service(spec: Value) -> SentimentService {
    serde_json::from_value(json!({
        "apiVersion": "kubesentiment.io/v1alpha1",
        "kind": "SentimentService",
        "metadata": {
            "name": "reviews", "namespace": "demo", "generation": 3, "uid": "00000000-0000-0000-0000-000000000001",
        },
        "spec": spec,
    }))
    .unwrap()
}

/// The same, validated.
pub(crate) fn valid(spec: Value) -> ValidatedService {
    validate(&service(spec), &default_image()).unwrap()
}
