//! How many pods may run, and how many may be missing.

use k8s_openapi::{
    api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Lets a HorizontalPodAutoscaler of the operator's choose the number of pods, or something else: exactly one of
/// `maxReplicas` and `external` is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.external) != has(self.maxReplicas)").message(
        "set exactly one of autoscaling.maxReplicas, for an autoscaler of the operator's, and autoscaling.external, where something else chooses the number of pods"
    ),
    validation = Rule::new(
        "!has(self.external) || !(has(self.minReplicas) || has(self.targetCPUUtilizationPercentage) || has(self.targetMemoryUtilizationPercentage) || has(self.metrics) || has(self.behavior))"
    ).message(
        "autoscaling.external leaves the number of pods to something else: leave minReplicas, the targets, metrics and behavior out, and set them there"
    ),
    validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas").message(
        "autoscaling.minReplicas exceeds autoscaling.maxReplicas: lower the one or raise the other"
    ),
    validation = Rule::new(
        "!has(self.minReplicas) || self.minReplicas > 0 || (has(self.metrics) && self.metrics.exists(metric, metric.type == 'External' || metric.type == 'Object'))"
    ).message(
        "with autoscaling.minReplicas 0 there may be no pod left to measure: add a metric of type External or Object, or set it to 1"
    )
)]
pub struct Autoscaling {
    /// The fewest pods; 0 only beside a metric of type `External` or `Object`, and where the cluster has the feature
    /// `HPAScaleToZero`. Default: 2, or `maxReplicas` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,
    /// Leaves the number of pods to something else that scales the Deployment, such as KEDA, down to zero: the
    /// operator then makes no autoscaler and sets no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// CPU in use, as a percentage of the CPU request, that the autoscaler aims at. Default: 80
    /// where no other target is given.
    #[serde(default, rename = "targetCPUUtilizationPercentage", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<i32>,
    /// Memory in use, as a percentage of the memory request, that the autoscaler aims at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_memory_utilization_percentage: Option<i32>,
    /// Further metrics, as in `hpa.spec.metrics` of autoscaling/v2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub metrics: Vec<MetricSpec>,
    /// How fast it may scale, as in `hpa.spec.behavior` of autoscaling/v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// Something else chooses the number of pods. It has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct External {}

/// How a rollout goes: pods that come before others go, and pods that go before others come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.maxSurge) || !has(self.maxUnavailable) || !string(self.maxSurge).matches('^0+%?$') || !string(self.maxUnavailable).matches('^0+%?$')"
    ).message("rollout.maxSurge and rollout.maxUnavailable are both 0, so that no rollout could ever begin: raise one"),
    validation = Rule::new(
        "(!has(self.maxSurge) || string(self.maxSurge).matches('^(1000|[0-9]{1,3}|(100|[1-9]?[0-9])%)$')) && (!has(self.maxUnavailable) || string(self.maxUnavailable).matches('^(1000|[0-9]{1,3}|(100|[1-9]?[0-9])%)$'))"
    ).message("rollout.maxSurge and rollout.maxUnavailable are a number of pods from 0 to 1000, or a percentage from 0% to 100%, such as 25%")
)]
pub struct Rollout {
    /// Pods that may run beyond the number that is asked for, as a number or a percentage. Default: 1. 0 needs no spare
    /// place in a quota or on a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 8))]
    pub max_surge: Option<IntOrString>,
    /// Pods that may be missing, as a number or a percentage. Default: 0, or 1 where `maxSurge` is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 8))]
    pub max_unavailable: Option<IntOrString>,
}

/// How many pods a drain of nodes may take at a time: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.minAvailable) != has(self.maxUnavailable)").message("set exactly one of disruptionBudget.minAvailable and disruptionBudget.maxUnavailable"),
    validation = Rule::new(
        "(!has(self.minAvailable) || string(self.minAvailable).matches('^([0-9]+|(100|[1-9]?[0-9])%)$')) && (!has(self.maxUnavailable) || string(self.maxUnavailable).matches('^([0-9]+|(100|[1-9]?[0-9])%)$'))"
    ).message("a disruptionBudget is a number of pods, such as 1, or a percentage from 0% to 100%, such as 50%")
)]
pub struct DisruptionBudget {
    /// Pods that must stay, as a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 8))]
    pub min_available: Option<IntOrString>,
    /// Pods that may be missing, as a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 8))]
    pub max_unavailable: Option<IntOrString>,
}
