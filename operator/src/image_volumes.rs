//! Whether the cluster's pods can have image volumes: as long as nobody knows better, they can.
//!
//! An API server with the feature gate `ImageVolume` off drops the field, and then finds a volume of no type. That answer
//! is taken for the whole cluster, and for as long as the process lives: the next one asks anew.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use kube::core::Status;

use crate::{
    apply::ApplyError,
    facts,
    validate::{Source, ValidatedService},
};

/// What is done about models in images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ImageVolumePolicy {
    /// Nodes mount them, unless the API server can't have that.
    #[default]
    Auto,
    /// Pods fetch them.
    Never,
}

/// Whether image volumes are switched off, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct ImageVolumes {
    are_off: AtomicBool,
}

impl ImageVolumes {
    pub(crate) fn new(policy: ImageVolumePolicy) -> Self {
        Self { are_off: AtomicBool::new(policy == ImageVolumePolicy::Never) }
    }

    /// Has pods fetch a model in an image, where the node can't mount it. A Deployment that does so for the same spec
    /// goes on doing so: an operator that has just started knows no better, and a try would be a rollout.
    pub(crate) fn settle(&self, service: &mut ValidatedService, live: Option<&facts::Deployment>) {
        let generation = service.generation.unwrap_or_default().to_string();
        let fetches = |live: &facts::Deployment| {
            live.fetches_model && live.template_generation.as_deref() == Some(generation.as_str())
        };
        if self.are_off.load(Ordering::Relaxed) || live.is_some_and(fetches) {
            service.source.fetch_image();
        }
    }

    /// Learns from a refusal. Whether there is another way than the one that was refused.
    pub(crate) fn learn(&self, service: &ValidatedService, refusal: &ApplyError) -> bool {
        let is_mounted = matches!(&service.source, Source::Image(image) if !image.is_fetched);
        let is_off = is_mounted && tells_that_they_are_off(refusal);
        if is_off && !self.are_off.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "this API server takes no image volumes: pods fetch models in images themselves. Switch the feature gate ImageVolume on, and restart the operator"
            );
        }
        is_off
    }
}

/// The answers of an API server that drops the field, and of one that has never had it.
fn tells_that_they_are_off(refusal: &ApplyError) -> bool {
    let status: &Status = match refusal {
        ApplyError::Refused { kind, status, .. } if kind == "Deployment" => status,
        ApplyError::Unreachable { kind, source, .. } if kind == "Deployment" => match &**source {
            kube::Error::Api(status) => status,
            _ => return false,
        },
        _ => return false,
    };
    let has_no_type =
        |words: &str| words.contains("spec.template.spec.volumes[") && words.contains("must specify a volume type");
    has_no_type(&status.message) || status.message.contains(".image: field not declared in schema")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures;

    fn image() -> ValidatedService {
        fixtures::valid(json!({"model": {"source": {"image": {"reference": "registry.example.com/m:1"}}}}))
    }

    fn refused(kind: &str, status: Value) -> ApplyError {
        let status = Box::new(serde_json::from_value(status).unwrap());
        ApplyError::Refused { kind: kind.to_owned(), name: "reviews".to_owned(), status }
    }

    /// As kube-apiserver answers with the gate off.
    fn dropped() -> Value {
        json!({
            "status": "Failure", "code": 422, "reason": "Invalid",
            "message": "Deployment.apps \"reviews\" is invalid: [spec.template.spec.volumes[2]: Required value: must specify a volume type, spec.template.spec.containers[0].volumeMounts[2].name: Not found: \"model\"]",
        })
    }

    #[test]
    fn what_one_service_is_refused_is_known_for_all() {
        let volumes = ImageVolumes::default();
        let mut service = image();
        volumes.settle(&mut service, None);
        assert_eq!(service, image(), "nobody knows better");
        assert!(volumes.learn(&service, &refused("Deployment", dropped())));
        let mut other = image();
        volumes.settle(&mut other, None);
        assert!(matches!(&other.source, Source::Image(image) if image.is_fetched));
        assert!(!volumes.learn(&other, &refused("Deployment", dropped())), "there is no third way");
    }

    #[test]
    fn other_refusals_say_nothing_of_image_volumes() {
        let volumes = ImageVolumes::default();
        let elsewhere = json!({"code": 422, "message": "spec.template.spec.containers[0].image: Required value"});
        for refusal in [
            refused("Deployment", elsewhere),
            refused("Deployment", json!({"code": 403, "message": "exceeded quota"})),
            refused("Service", dropped()),
        ] {
            assert!(!volumes.learn(&image(), &refusal), "{refusal}");
        }
        assert!(
            !volumes.learn(&fixtures::valid(json!({})), &refused("Deployment", dropped())),
            "it has no such volume"
        );
        let mut service = image();
        volumes.settle(&mut service, None);
        assert_eq!(service, image());
    }

    #[test]
    fn an_older_api_server_says_it_in_other_words() {
        let status = json!({"status": "Failure", "code": 500, "message":
            "failed to create typed patch object (demo/reviews; apps/v1, Kind=Deployment): .spec.template.spec.volumes[name=\"model\"].image: field not declared in schema"});
        let source = Box::new(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())));
        let refusal = ApplyError::Unreachable { kind: "Deployment".to_owned(), name: "reviews".to_owned(), source };
        assert!(ImageVolumes::default().learn(&image(), &refusal));
    }

    #[test]
    fn an_operator_that_has_just_started_leaves_what_runs() {
        let volumes = ImageVolumes::default();
        let live = |generation: &str, fetches_model| facts::Deployment {
            template_generation: Some(generation.into()),
            fetches_model,
            ..facts::Deployment::default()
        };
        let is_fetched = |live: &facts::Deployment| {
            let mut service = image();
            volumes.settle(&mut service, Some(live));
            matches!(&service.source, Source::Image(image) if image.is_fetched)
        };
        assert!(is_fetched(&live("3", true)));
        assert!(!is_fetched(&live("2", true)), "a new spec is tried anew");
        assert!(!is_fetched(&live("3", false)));
    }

    #[test]
    fn the_operators_settings_may_leave_them_out() {
        let mut service = image();
        ImageVolumes::new(ImageVolumePolicy::Never).settle(&mut service, None);
        assert!(matches!(&service.source, Source::Image(image) if image.is_fetched));
    }
}
