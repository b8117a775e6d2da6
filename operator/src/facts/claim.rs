//! What is kept of a claim.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::api::Quantity;

/// A claim: how much is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The storage that is asked for, by whoever asked last.
    pub storage: Option<Quantity>,
}

impl Claim {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &PersistentVolumeClaim) -> Self {
        let resources = object.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let storage = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
        Self { storage: storage.map(|storage| Quantity::new(storage.0.clone())) }
    }
}
