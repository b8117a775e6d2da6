//! Which nodes the pods may run on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::validate::ValidatedService;

/// The images are of Linux; the user's own selector has the last word.
pub(super) fn selector(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut selector = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
    selector.extend(service.scheduling.node_selector.clone());
    selector
}

/// The user's affinity, and the architectures of the image where they are known.
pub(super) fn affinity(service: &ValidatedService) -> Option<Affinity> {
    let given = service.scheduling.affinity.clone();
    if service.architectures.is_empty() {
        return given;
    }
    let ours = NodeSelectorRequirement {
        key: "kubernetes.io/arch".to_owned(),
        operator: "In".to_owned(),
        values: Some(service.architectures.clone()),
    };
    let mut affinity = given.unwrap_or_default();
    let nodes = affinity.node_affinity.get_or_insert_default();
    match &mut nodes.required_during_scheduling_ignored_during_execution {
        Some(required) => required.node_selector_terms.iter_mut().for_each(|term| narrow(term, &ours)),
        none => {
            let term = NodeSelectorTerm { match_expressions: Some(vec![ours]), match_fields: None };
            *none = Some(NodeSelector { node_selector_terms: vec![term] });
        }
    }
    Some(affinity)
}

/// Of several terms one is enough, so each is narrowed. One without a requirement matches no node, and must not begin to.
fn narrow(term: &mut NodeSelectorTerm, ours: &NodeSelectorRequirement) {
    let is_empty = |list: Option<&Vec<NodeSelectorRequirement>>| list.is_none_or(Vec::is_empty);
    if !is_empty(term.match_expressions.as_ref()) || !is_empty(term.match_fields.as_ref()) {
        term.match_expressions.get_or_insert_default().push(ours.clone());
    }
}
