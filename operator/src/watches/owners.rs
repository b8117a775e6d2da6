//! From an object to the service that it belongs to: by its controllers, and not by labels, which anybody may write.

use super::{
    Stores,
    meta::{Meta, Owner},
};
use crate::{api::ServiceRef, children::ChildKind};

/// The kind of our custom resource.
const SERVICE: &str = "SentimentService";

/// The service whose child this is.
pub(crate) fn of_child(meta: &Meta) -> Option<ServiceRef> {
    let owner = of_kind(meta, SERVICE)?;
    Some(ServiceRef::new(&owner.name).within(&meta.namespace))
}

/// The service that a ReplicaSet runs pods of.
pub(super) fn of_replica_set(meta: &Meta, stores: &Stores) -> Option<ServiceRef> {
    let owner = of_kind(meta, "Deployment")?;
    let deployment = stores.child(ChildKind::Deployment, &meta.namespace, &owner.name)?;
    (deployment.meta.uid == owner.uid).then(|| of_child(&deployment.meta)).flatten()
}

/// The service of a pod.
pub(crate) fn of_pod(meta: &Meta, stores: &Stores) -> Option<ServiceRef> {
    let owner = of_kind(meta, "ReplicaSet")?;
    let replica_set = stores.replica_sets.get(&meta.namespace, &owner.name)?;
    (replica_set.meta.uid == owner.uid).then(|| of_replica_set(&replica_set.meta, stores)).flatten()
}

fn of_kind<'a>(meta: &'a Meta, kind: &str) -> Option<&'a Owner> {
    meta.owner.as_ref().filter(|owner| &*owner.kind == kind)
}
