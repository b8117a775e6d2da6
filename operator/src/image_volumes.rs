//! Whether the cluster's pods can have image volumes.
//!
//! An API server with the feature gate `ImageVolume` off says nothing of it: it drops the volume and its mounts, and takes
//! the rest. Pods without their model would begin to take the place of those that serve. So the first Deployment with such a
//! volume is asked for as a dry run, and what comes of it is known for as long as the process lives. Should it be otherwise
//! later, the answer to a write tells.

use std::sync::atomic::{AtomicU8, Ordering};

use clap::ValueEnum;
use k8s_openapi::api::apps::v1;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};

use crate::{
    api::{Delivery, MANAGER},
    build::build,
    dereference::References,
    facts::{self, TEMPLATE_HASH},
    validate::ValidatedService,
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

const UNKNOWN: u8 = 0;
const ON: u8 = 1;
const OFF: u8 = 2;

/// Whether image volumes are switched on, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct ImageVolumes(AtomicU8);

impl ImageVolumes {
    pub(crate) fn new(policy: ImageVolumePolicy) -> Self {
        Self(AtomicU8::new(match policy {
            ImageVolumePolicy::Auto => UNKNOWN,
            ImageVolumePolicy::Never => OFF,
        }))
    }

    /// Has pods fetch a model in an image, where the node can't mount it.
    pub(crate) async fn settle(&self, client: &Client, service: &mut ValidatedService, references: &References) {
        if service.source.delivery() != Delivery::ImageVolume {
            return;
        }
        if self.0.load(Ordering::Relaxed) == UNKNOWN {
            match is_kept(client, &build(service, references).deployment).await {
                Ok(is_kept) => self.note(is_kept),
                // The write itself will tell what is wrong.
                Err(error) => tracing::warn!(%error, "whether image volumes are switched on can't be told"),
            }
        }
        if self.0.load(Ordering::Relaxed) == OFF {
            service.source.fetch_image();
        }
    }

    /// Learns from a Deployment that was written. Whether there is another way than the one that came to nothing.
    pub(crate) fn learn(
        &self,
        service: &ValidatedService,
        asked: &v1::Deployment,
        written: Option<&facts::Deployment>,
    ) -> bool {
        let hash = asked.annotations().get(TEMPLATE_HASH).map(String::as_str);
        let written = written.filter(|written| written.template_hash.as_deref() == hash);
        let Some(written) = written.filter(|_| service.source.delivery() == Delivery::ImageVolume) else {
            return false;
        };
        self.note(written.mounts_model);
        !written.mounts_model
    }

    fn note(&self, are_on: bool) {
        if are_on {
            // A Deployment that has had the volume keeps it, so that it proves nothing against one that has lost it.
            let _ = self.0.compare_exchange(UNKNOWN, ON, Ordering::Relaxed, Ordering::Relaxed);
        } else if self.0.swap(OFF, Ordering::Relaxed) != OFF {
            tracing::warn!(
                "this API server drops image volumes: pods fetch models in images themselves. Switch the feature gate ImageVolume on and restart the operator, to have nodes mount them"
            );
        }
    }
}

/// Whether the API server keeps the volume, by a write that changes nothing.
async fn is_kept(client: &Client, deployment: &v1::Deployment) -> kube::Result<bool> {
    let namespace = deployment.namespace().unwrap_or_default();
    let api: Api<v1::Deployment> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams { dry_run: true, force: true, ..PatchParams::apply(MANAGER) };
    let answer = api.patch(&deployment.name_any(), &params, &Patch::Apply(deployment)).await?;
    Ok(facts::Deployment::of(&answer).mounts_model)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    fn image() -> ValidatedService {
        fixtures::valid(json!({"model": {"source": {"image": {"reference": "registry.example.com/m:1"}}}}))
    }

    fn asked(hash: &str) -> v1::Deployment {
        serde_json::from_value(json!({"metadata": {"annotations": {TEMPLATE_HASH: hash}}})).unwrap()
    }

    fn written(hash: &str, mounts_model: bool) -> facts::Deployment {
        facts::Deployment { template_hash: Some(hash.into()), mounts_model, ..facts::Deployment::default() }
    }

    #[test]
    fn only_a_template_that_was_asked_for_with_the_volume_and_lacks_it_tells() {
        let volumes = ImageVolumes::default();
        let learns = |service: &ValidatedService, found: Option<facts::Deployment>| {
            volumes.learn(service, &asked("1"), found.as_ref())
        };
        assert!(!learns(&image(), Some(written("1", true))));
        assert_eq!(volumes.0.load(Ordering::Relaxed), ON, "there is no need to ask");
        assert!(!learns(&image(), Some(written("0", false))), "it is the one before");
        assert!(!learns(&image(), None));
        assert!(!learns(&fixtures::valid(json!({})), Some(written("1", false))), "it has no such volume");
        assert!(learns(&image(), Some(written("1", false))));
        let mut fetched = image();
        fetched.source.fetch_image();
        assert!(!learns(&fetched, Some(written("1", false))), "there is no third way");
    }
}
