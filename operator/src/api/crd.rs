//! The Custom Resource Definition, as it stands in `crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::{SentimentService, status};

/// Fields whose types are Kubernetes' own. `kubectl explain` has their texts under the
/// object that they come from; a second copy would be two thirds of this definition.
const OF_KUBERNETES: [&[&str]; 11] = [
    &["status", "conditions"],
    &["spec", "autoscaling", "metrics"],
    &["spec", "autoscaling", "behavior"],
    &["spec", "env"],
    &["spec", "envFrom"],
    &["spec", "networkPolicy", "ingressFrom"],
    &["spec", "networkPolicy", "egressTo"],
    &["spec", "networkPolicy", "dnsTo"],
    &["spec", "scheduling", "tolerations"],
    &["spec", "scheduling", "affinity"],
    &["spec", "scheduling", "topologySpreadConstraints"],
];

/// The longest name of an environment variable. Rules over names need a bound, since the API
/// server weighs what they can cost.
const LONGEST_VARIABLE: i64 = 253;

/// The Custom Resource Definition.
///
/// `spec` defaults to `{}`. Without that, a server-side apply of `spec: {}` over a fuller spec of
/// the same manager leaves `spec: null` behind, which the API server then refuses.
///
/// `status` defaults to one that describes no generation: who waits by kstatus, as Flux and Helm do, takes an object
/// without a status for one that is done, and nobody has looked at it yet.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    let mut crd = SentimentService::crd();
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.required = None;
        if let Some(status) = descend(root, &["status"]) {
            status.default = Some(JSON(json!({ "observedGeneration": status::UNREPORTED })));
        }
        for path in OF_KUBERNETES {
            if let Some(field) = descend(root, path) {
                each_below(field, &mut |schema| schema.description = None);
            }
        }
        let Some(spec) = root.properties.as_mut().and_then(|properties| properties.get_mut("spec")) else {
            continue;
        };
        spec.default = Some(JSON(json!({})));
        if let Some(JSONSchemaPropsOrArray::Schema(variable)) =
            descend(spec, &["env"]).and_then(|env| env.items.as_mut())
            && let Some(name) = descend(variable, &["name"])
        {
            name.max_length = Some(LONGEST_VARIABLE);
        }
    }
    crd
}

fn descend<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(schema, |schema, name| schema.properties.as_mut()?.get_mut(*name))
}

/// Calls `change` for every schema below this one.
fn each_below(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    let items = schema.items.iter_mut().filter_map(|items| match items {
        JSONSchemaPropsOrArray::Schema(schema) => Some(&mut **schema),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    });
    for below in items.chain(schema.properties.iter_mut().flat_map(|properties| properties.values_mut())) {
        change(below);
        each_below(below, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_nobody_has_seen_describes_no_generation() {
        let mut crd = crd();
        let root = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
        let default = descend(root, &["status"]).unwrap().default.clone().unwrap().0;
        assert_eq!(default, json!({"observedGeneration": -1}));
        let status: crate::api::SentimentServiceStatus = serde_json::from_value(default).unwrap();
        assert!(status.is_unreported());
        assert!(crate::api::SentimentServiceStatus::default().is_unreported(), "as an object from before the default");
        let reported = crate::api::SentimentServiceStatus { observed_generation: Some(1), ..status };
        assert!(!reported.is_unreported());
        // A status that lost the field, as one from a backup without it, is no other.
        assert_eq!(descend(root, &["status", "observedGeneration"]).unwrap().default, Some(JSON(json!(-1))));
    }

    #[test]
    fn the_definition_is_small_enough_for_an_annotation_of_kubectl() {
        let size = serde_json::to_string(&crd()).unwrap().len();
        assert!(size < 100_000, "it takes {size} bytes");
    }

    #[test]
    fn the_fields_of_kubernetes_are_found() {
        let mut crd = crd();
        let root = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
        for path in OF_KUBERNETES {
            let field = descend(root, path).unwrap_or_else(|| panic!("there is no field {path:?}"));
            assert!(field.description.is_some(), "{path:?} itself keeps its text");
        }
    }
}
