//! The claim that keeps what the pods fetch of their model.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::metadata;
use crate::validate::{Fetch, ModelCache, Source, ValidatedService};

/// What the name of the claim has after that of the service.
pub const SUFFIX: &str = "-model";

/// Name of the claim that is made for a service.
pub(super) fn name(service: &ValidatedService) -> String {
    format!("{}{SUFFIX}", service.name)
}

pub(super) fn build(service: &ValidatedService) -> Option<PersistentVolumeClaim> {
    let Source::Fetched(Fetch { cache: ModelCache::Made { size, class, mode }, .. }) = &service.source else {
        return None;
    };
    let size = Quantity(size.as_str().to_owned());
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(name(service)), ..metadata(service) },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode.as_str().to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                limits: None,
            }),
            storage_class_name: class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}
