//! How many pods may run, and how many may be missing.

use k8s_openapi::{
    api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Lets a HorizontalPodAutoscaler choose the number of pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas").message(
    "autoscaling.minReplicas exceeds autoscaling.maxReplicas: lower the one or raise the other"
))]
pub struct Autoscaling {
    /// The fewest pods. Default: 2, or `maxReplicas` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
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
