//! What is kept of a HorizontalPodAutoscaler.

use std::sync::Arc;

use k8s_openapi::{
    api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
    jiff::Timestamp,
};

use super::words::{head, shared};

/// An autoscaler: how many pods it wants, and why it can't say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscaler {
    /// Pods that it wants, once it has made up its mind.
    pub desired: Option<i32>,
    /// Whether it has said that it works.
    pub active: bool,
    /// Its target can't be scaled: `AbleToScale` is False.
    pub unable: Option<Box<Fault>>,
    /// It doesn't know how many pods are right: `ScalingActive` is False.
    pub inactive: Option<Box<Fault>>,
}

/// A condition of an autoscaler that is False.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its reason.
    pub reason: Arc<str>,
    /// Its words.
    pub message: Arc<str>,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl Autoscaler {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &HorizontalPodAutoscaler) -> Self {
        let Some(status) = &object.status else { return Self::default() };
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let condition = |type_: &str, status: &str| {
            conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
        };
        let fault = |type_: &str| condition(type_, "False").map(|found| Box::new(Fault::of(found)));
        Self {
            // It is 0 until the autoscaler has looked, and where it leaves a Deployment of no pods alone.
            desired: Some(status.desired_replicas).filter(|desired| *desired > 0),
            active: condition("ScalingActive", "True").is_some(),
            unable: fault("AbleToScale"),
            inactive: fault("ScalingActive"),
        }
    }

    /// What keeps it from its work.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.unable.as_deref().or(self.inactive.as_deref())
    }
}

impl Fault {
    fn of(condition: &HorizontalPodAutoscalerCondition) -> Self {
        Self {
            reason: shared(condition.reason.as_deref().unwrap_or_default()),
            message: shared(head(condition.message.as_deref().unwrap_or_default())),
            since: condition.last_transition_time.as_ref().map(|time| time.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_without_metrics_says_so() {
        let object = serde_json::from_value(json!({"status": {
            "currentReplicas": 2, "desiredReplicas": 0,
            "conditions": [
                {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale", "message": "fine"},
                {
                    "type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric",
                    "message": "no metrics", "lastTransitionTime": "2026-01-01T00:00:00Z",
                },
            ],
        }}))
        .unwrap();
        let facts = Autoscaler::of(&object);
        assert_eq!((facts.desired, facts.active, &facts.unable), (None, false, &None));
        let fault = facts.fault().unwrap();
        assert_eq!((&*fault.reason, &*fault.message), ("FailedGetResourceMetric", "no metrics"));
        assert_eq!(fault.since, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn one_that_works_has_a_number_and_no_fault() {
        let object = serde_json::from_value(json!({"status": {"desiredReplicas": 5, "conditions": [
            {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
            {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"},
        ]}}))
        .unwrap();
        assert_eq!(Autoscaler::of(&object), Autoscaler { desired: Some(5), active: true, ..Autoscaler::default() });
    }
}
