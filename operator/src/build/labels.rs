//! The labels that tie children to their service.

use std::collections::BTreeMap;

use crate::{api::MANAGER, validate::ValidatedService};

/// Label key of the custom resource's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label key of who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label key of the track that a pod is of: there may be pods of the same service beside those of its Deployment.
pub const TRACK: &str = "kubesentiment.io/track";
const NAME: &str = "app.kubernetes.io/name";
const VERSION: &str = "app.kubernetes.io/version";
const SENTIMENT_SERVICE: &str = "sentiment-service";
/// The track of the Deployment that every service has.
const STABLE: &str = "stable";

/// The pods of every track, for what concerns them all: who may call them, and who scrapes them.
#[must_use]
pub fn every_track(service: &ValidatedService) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME.to_owned(), SENTIMENT_SERVICE.to_owned()), (INSTANCE.to_owned(), service.name.clone())])
}

/// What the selectors of the Deployment and the Service match. A Deployment's selector can't
/// change once made, so nothing that may change belongs here.
#[must_use]
pub fn selector(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut labels = every_track(service);
    labels.insert(TRACK.to_owned(), STABLE.to_owned());
    labels
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
    let mut labels = every_track(service);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(VERSION.to_owned(), service.image.version_label());
    labels
}

/// The labels of the Deployment's pods.
#[must_use]
pub fn of_pods(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut labels = all(service);
    labels.extend(selector(service));
    labels
}
