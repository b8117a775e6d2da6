//! ConfigMaps as their watch sees them: name and version. The request is for metadata, and what users write into
//! annotations is passed over while it is read.

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A ConfigMap of which only the identity and the version are read.
#[derive(Clone, Debug)]
pub(super) struct ConfigMapSeen(ObjectMeta);

#[derive(Deserialize)]
struct Seen {
    metadata: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl<'de> Deserialize<'de> for ConfigMapSeen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Seen { metadata: Identity { name, namespace, uid, resource_version } } = Seen::deserialize(deserializer)?;
        Ok(Self(ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() }))
    }
}

impl Resource for ConfigMapSeen {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        ConfigMap::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ConfigMap::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ConfigMap::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ConfigMap::plural(&())
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0
    }
}
