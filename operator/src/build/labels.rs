//! The labels that tie children to their service.

use std::collections::BTreeMap;

use crate::{api::MANAGER, validate::ValidatedService};

/// Label key of the custom resource's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label key of who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const NAME: &str = "app.kubernetes.io/name";
const VERSION: &str = "app.kubernetes.io/version";
const SENTIMENT_SERVICE: &str = "sentiment-service";

/// What the selectors of the Deployment and the Service match. A Deployment's selector can't
/// change once made, so nothing that may change belongs here.
#[must_use]
pub fn selector(service: &ValidatedService) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME.to_owned(), SENTIMENT_SERVICE.to_owned()), (INSTANCE.to_owned(), service.name.clone())])
}

/// The selector as `kubectl get pods -l` takes it.
#[must_use]
pub fn selector_text(service: &ValidatedService) -> String {
    let pairs: Vec<String> = selector(service).iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// The labels of every child.
#[must_use]
pub fn all(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut labels = selector(service);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(VERSION.to_owned(), service.image.version_label());
    labels
}
