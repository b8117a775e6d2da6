//! A `SentimentService` as the API server keeps it, before anybody has read it.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::SentimentService;

/// Names a service, in one namespace.
pub type ServiceRef = ObjectRef<Stored>;

/// A stored object: its spec and status as text. That is a tenth of what the types take, and an object that was stored
/// under an older schema stops no watch: it can't be [read](Self::read), and that is all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    metadata: ObjectMeta,
    spec: Box<str>,
    status: Box<str>,
    config_map: Option<Arc<str>>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Stored {
    /// The service. An unreadable status is no reason to refuse it: see [`status`](Self::status).
    ///
    /// # Errors
    /// What in the spec breaks the schema.
    pub fn read(&self) -> Result<SentimentService, serde_json::Error> {
        let spec = if &*self.spec == "null" { "{}" } else { &*self.spec };
        Ok(SentimentService { metadata: self.metadata.clone(), spec: serde_json::from_str(spec)?, status: None })
    }

    /// An object that has its status and nothing else, as JSON.
    #[must_use]
    pub fn status(&self) -> Value {
        json!({"status": serde_json::from_str::<Value>(&self.status).unwrap_or_default()})
    }

    /// Name of the ConfigMap that the spec refers to.
    #[must_use]
    pub fn config_map(&self) -> Option<&str> {
        self.config_map.as_deref()
    }

    /// Its name and namespace. What a reference may say beside, nobody reads, and there are several for each object.
    #[must_use]
    pub fn reference(&self) -> ServiceRef {
        ServiceRef::new(&self.name_any()).within(&self.namespace().unwrap_or_default())
    }

    /// `metadata.resourceVersion`, as a number: later versions are larger. 0 where it is none.
    #[must_use]
    pub fn version(&self) -> u64 {
        version(&self.metadata)
    }
}

/// `metadata.resourceVersion` of an object, as a number: later versions are larger. Kubernetes 1.35 promises what every
/// release before it did. 0 where it is none.
pub(crate) fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Whole { metadata, spec, status } = Whole::deserialize(deserializer)?;
        let config_map = spec.pointer("/configMapRef/name").and_then(Value::as_str).map(Into::into);
        // Labels, annotations and the bookkeeping of managers may be large, and nobody reads them here.
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deletion_timestamp: metadata.deletion_timestamp,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, spec: spec.to_string().into(), status: status.to_string().into(), config_map })
    }
}

impl Resource for Stored {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        SentimentService::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        SentimentService::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        SentimentService::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        SentimentService::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SentimentServiceSpec;

    fn stored(object: Value) -> Stored {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_large_and_nobody_reads_is_not_kept() {
        let object = stored(json!({
            "metadata": {"name": "reviews", "resourceVersion": "17", "annotations": {"large": "x".repeat(1000)},
                "managedFields": [{"manager": "kubectl"}]},
            "spec": {"configMapRef": {"name": "settings"}},
        }));
        assert!(object.metadata.annotations.is_none() && object.metadata.managed_fields.is_none());
        assert_eq!((object.version(), object.config_map()), (17, Some("settings")));
    }

    #[test]
    fn an_object_that_breaks_the_schema_is_kept_and_says_why() {
        let object = stored(json!({"metadata": {"name": "a"}, "spec": {"replicas": "many"}, "status": {"url": "u"}}));
        assert!(object.read().unwrap_err().to_string().contains("many"));
        assert_eq!(object.status(), json!({"status": {"url": "u"}}));
    }

    #[test]
    fn an_object_without_a_spec_is_one_with_an_empty_spec() {
        assert_eq!(stored(json!({"metadata": {"name": "a"}})).read().unwrap().spec, SentimentServiceSpec::default());
    }
}
