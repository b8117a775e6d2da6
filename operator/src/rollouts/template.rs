//! What a Deployment tells of its pod template: why it changes, and whether it is rolled out.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use crate::{
    facts::{self, ROLLOUT, TEMPLATE_GENERATION as GENERATION, TEMPLATE_HASH as HASH},
    hash::fnv1a,
};

const SERVING: &str = "serving";
const BROKEN: &str = "broken";

/// Why a template is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was applied before.
    Unchanged,
    /// The user asked for it, or no pod will notice.
    Wanted,
    /// The spec is the same as before, so the operator changed its mind, or a `ConfigMap` that the
    /// template follows was changed.
    Operator {
        /// Whether all pods of the older template serve.
        serving: bool,
    },
}

/// A template as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    hash: String,
    generation: String,
}

impl Template {
    pub(super) fn of(desired: &Deployment, generation: Option<i64>) -> Self {
        let template = desired.spec.as_ref().map(|spec| &spec.template);
        // A template has string keys only, so it always has a JSON form.
        let json = serde_json::to_vec(&template).unwrap_or_default();
        Self { hash: format!("{:016x}", fnv1a(&json)), generation: generation.unwrap_or_default().to_string() }
    }

    pub(super) fn cause(&self, live: Option<&facts::Deployment>) -> Cause {
        let Some(live) = live else { return Cause::Wanted };
        if live.template_hash.as_deref() == Some(&self.hash) {
            return Cause::Unchanged;
        }
        // A Deployment without the annotation is of an operator that didn't write it.
        let new_spec = live.template_generation.as_deref().is_some_and(|of| *of != self.generation);
        if new_spec || live.wanted() == 0 {
            return Cause::Wanted;
        }
        Cause::Operator { serving: live.is_complete() }
    }

    /// Notes a template that a user asked for.
    pub(super) fn note(&self, desired: &mut Deployment) {
        let annotations = desired.annotations_mut();
        annotations.insert(HASH.to_owned(), self.hash.clone());
        annotations.insert(GENERATION.to_owned(), self.generation.clone());
    }

    /// Notes that a place is taken.
    pub(super) fn note_rollout(&self, desired: &mut Deployment, serving: bool) {
        self.note(desired);
        let before = if serving { SERVING } else { BROKEN };
        desired.annotations_mut().insert(ROLLOUT.to_owned(), before.to_owned());
    }

    /// Keeps the place until the rollout is complete.
    pub(super) fn note_unchanged(&self, desired: &mut Deployment, live: &facts::Deployment) {
        self.note(desired);
        if let Some(before) = live.rollout.as_deref().filter(|_| !live.is_complete()) {
            desired.annotations_mut().insert(ROLLOUT.to_owned(), before.to_owned());
        }
    }
}

/// Leaves the template of a Deployment as it is. Fields that others set in it are applied as ours
/// for that time, with the values that they have, and are theirs alone again at the next template.
pub(crate) fn keep(desired: &mut Deployment, live: &Deployment) {
    for key in [HASH, GENERATION, ROLLOUT] {
        copy(live.annotations(), desired, key);
    }
    if let (Some(desired), Some(live)) = (desired.spec.as_mut(), live.spec.as_ref()) {
        desired.template = live.template.clone();
    }
}

fn copy(from: &BTreeMap<String, String>, to: &mut Deployment, key: &str) {
    if let Some(value) = from.get(key) {
        to.annotations_mut().insert(key.to_owned(), value.clone());
    }
}

/// Whether a rollout that the operator began is in progress. One that fails keeps its place, so
/// that the fault spreads no further; only of a service that was broken before nothing can be
/// learnt, and it gives its place up after the Deployment's progress deadline.
pub(super) fn takes_a_place(deployment: &facts::Deployment) -> bool {
    let Some(before) = deployment.rollout.as_deref() else { return false };
    !deployment.is_complete() && (before != BROKEN || deployment.late.is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A Deployment of two pods with an image, in some state.
    fn deployment(image: &str, annotations: &Value, status: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "reviews", "generation": 3, "annotations": annotations},
            "spec": {
                "replicas": 2,
                "selector": {},
                "template": {"spec": {"containers": [{"name": "sentiment", "image": image}]}},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn desired(image: &str) -> Deployment {
        deployment(image, &json!({}), &json!({}))
    }

    fn complete() -> Value {
        json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})
    }

    fn half() -> Value {
        json!({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2})
    }

    /// A live Deployment whose template was made of generation 1.
    fn live(image: &str, status: &Value) -> Deployment {
        let mut live = deployment(image, &json!({}), status);
        Template::of(&live, Some(1)).note(&mut live);
        live
    }

    #[test]
    fn only_a_template_that_no_spec_explains_waits() {
        let cause = |image: &str, generation, live: &Deployment| {
            Template::of(&desired(image), Some(generation)).cause(Some(&facts::Deployment::of(live)))
        };
        let serving = live("v1", &complete());
        assert_eq!(Template::of(&desired("v1"), Some(1)).cause(None), Cause::Wanted, "a new service");
        assert_eq!(cause("v1", 1, &serving), Cause::Unchanged);
        assert_eq!(cause("v1", 2, &serving), Cause::Unchanged, "a new spec that the template doesn't show");
        assert_eq!(cause("v2", 2, &serving), Cause::Wanted, "a new spec");
        assert_eq!(cause("v2", 1, &serving), Cause::Operator { serving: true });
        assert_eq!(cause("v2", 1, &live("v1", &half())), Cause::Operator { serving: false });
        assert_eq!(cause("v2", 1, &deployment("v1", &json!({}), &complete())), Cause::Operator { serving: true });
        let mut suspended = live("v1", &complete());
        suspended.spec.as_mut().unwrap().replicas = Some(0);
        assert_eq!(cause("v2", 1, &suspended), Cause::Wanted, "no pod to roll");
    }

    #[test]
    fn a_hand_edit_of_the_template_is_no_new_template() {
        let mut edited = live("v1", &complete());
        edited.spec.as_mut().unwrap().template = desired("busybox").spec.unwrap().template;
        assert_eq!(
            Template::of(&desired("v1"), Some(1)).cause(Some(&facts::Deployment::of(&edited))),
            Cause::Unchanged
        );
    }

    #[test]
    fn a_place_is_taken_until_the_rollout_is_complete() {
        let with = |before: &str, status: &Value| deployment("v2", &json!({ ROLLOUT: before }), status);
        assert!(takes_a_place(&facts::Deployment::of(&with(SERVING, &half()))));
        assert!(!takes_a_place(&facts::Deployment::of(&with(SERVING, &complete()))));
        assert!(
            !takes_a_place(&facts::Deployment::of(&deployment("v2", &json!({}), &half()))),
            "nobody but the operator's own take places"
        );
        let unseen = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert!(takes_a_place(&facts::Deployment::of(&with(SERVING, &unseen))), "the status is of the template before");
    }

    #[test]
    fn a_failed_rollout_keeps_its_place_where_it_could_have_succeeded() {
        let mut late = half();
        late["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        let with = |before: &str| deployment("v2", &json!({ ROLLOUT: before }), &late);
        assert!(takes_a_place(&facts::Deployment::of(&with(SERVING))));
        assert!(!takes_a_place(&facts::Deployment::of(&with(BROKEN))));
    }

    #[test]
    fn the_note_of_a_rollout_goes_when_it_is_complete() {
        let template = Template::of(&desired("v2"), Some(1));
        let mut begun = desired("v2");
        template.note_rollout(&mut begun, true);
        for (status, kept) in [(half(), true), (complete(), false)] {
            begun.status = serde_json::from_value(status).unwrap();
            let mut next = desired("v2");
            template.note_unchanged(&mut next, &facts::Deployment::of(&begun));
            assert_eq!(next.annotations().contains_key(ROLLOUT), kept);
            assert_eq!(next.annotations().get(HASH), begun.annotations().get(HASH));
        }
    }

    #[test]
    fn a_template_that_waits_is_left_as_it_is_and_the_rest_is_applied() {
        let live = live("v1", &complete());
        let mut wanted = desired("v2");
        wanted.spec.as_mut().unwrap().replicas = Some(7);
        keep(&mut wanted, &live);
        let (wanted_spec, live_spec) = (wanted.spec.as_ref().unwrap(), live.spec.as_ref().unwrap());
        assert_eq!(wanted_spec.template, live_spec.template);
        assert_eq!(wanted_spec.replicas, Some(7));
        assert_eq!(wanted.annotations(), live.annotations());
        assert_eq!(
            Template::of(&desired("v2"), Some(1)).cause(Some(&facts::Deployment::of(&wanted))),
            Cause::Operator { serving: false }
        );
    }
}
