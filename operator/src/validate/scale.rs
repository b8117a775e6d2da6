//! How many pods run, and how many may be missing.

use k8s_openapi::{
    api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Invalid, in_range};
use crate::api::{Autoscaling, DisruptionBudget, SentimentServiceSpec};

/// A loss of one pod, or a rollout, must interrupt nobody.
const DEFAULT_REPLICAS: i32 = 2;
/// Percentage of the CPU request where nothing else tells the autoscaler what to do. It leaves room
/// for what comes in while a new pod starts.
const DEFAULT_CPU_TARGET: i32 = 80;
const MOST_REPLICAS: i32 = 1000;

/// How many pods run.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// This many.
    Fixed(i32),
    /// As many as an autoscaler finds right.
    Auto(Box<Autoscaler>),
}

/// What an autoscaler goes by. There is at least one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// The fewest pods.
    pub min: i32,
    /// The most pods; never below the fewest.
    pub max: i32,
    /// CPU to aim at, as a percentage of the request.
    pub cpu: Option<i32>,
    /// Memory to aim at, as a percentage of the request.
    pub memory: Option<i32>,
    /// Further metrics.
    pub metrics: Vec<MetricSpec>,
    /// How fast it may scale.
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// Pods that a drain of nodes must leave, or may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many stay.
    MinAvailable(IntOrString),
    /// So many go.
    MaxUnavailable(IntOrString),
}

impl Scale {
    /// The fewest pods that are meant to run.
    #[must_use]
    pub const fn least(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(autoscaler) => autoscaler.min,
        }
    }

    /// The most pods that can run.
    #[must_use]
    pub const fn most(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(autoscaler) => autoscaler.max,
        }
    }
}

pub(super) fn scale(spec: &SentimentServiceSpec) -> Result<Scale, Invalid> {
    match (spec.replicas, &spec.autoscaling) {
        (Some(_), Some(_)) => Err(Invalid::TwoScales),
        (None, Some(autoscaling)) => autoscaler(autoscaling).map(Box::new).map(Scale::Auto),
        (replicas, None) => {
            in_range("replicas", replicas.unwrap_or(DEFAULT_REPLICAS), 0, MOST_REPLICAS).map(Scale::Fixed)
        }
    }
}

fn autoscaler(autoscaling: &Autoscaling) -> Result<Autoscaler, Invalid> {
    let max = in_range("autoscaling.maxReplicas", autoscaling.max_replicas, 1, MOST_REPLICAS)?;
    let min = autoscaling.min_replicas.unwrap_or(DEFAULT_REPLICAS.min(max));
    let min = in_range("autoscaling.minReplicas", min, 1, MOST_REPLICAS)?;
    if min > max {
        return Err(Invalid::InvertedBounds { min, max });
    }
    let (mut cpu, memory) =
        (autoscaling.target_cpu_utilization_percentage, autoscaling.target_memory_utilization_percentage);
    for (field, target) in
        [("autoscaling.targetCPUUtilizationPercentage", cpu), ("autoscaling.targetMemoryUtilizationPercentage", memory)]
    {
        if let Some(target) = target {
            in_range(field, target, 1, 1000)?;
        }
    }
    if cpu.is_none() && memory.is_none() && autoscaling.metrics.is_empty() {
        cpu = Some(DEFAULT_CPU_TARGET);
    }
    Ok(Autoscaler {
        min,
        max,
        cpu,
        memory,
        metrics: autoscaling.metrics.clone(),
        behavior: autoscaling.behavior.clone(),
    })
}

/// Without a word in the spec, one pod at a time may go; where only one can run, a budget would
/// either forbid every drain or do nothing.
pub(super) fn budget(given: Option<&DisruptionBudget>, scale: &Scale) -> Result<Option<Budget>, Invalid> {
    let Some(given) = given else {
        return Ok((scale.most() > 1).then_some(Budget::MaxUnavailable(IntOrString::Int(1))));
    };
    match (&given.min_available, &given.max_unavailable) {
        (Some(amount), None) => Ok(Some(Budget::MinAvailable(pods(amount)?))),
        (None, Some(amount)) => Ok(Some(Budget::MaxUnavailable(pods(amount)?))),
        _ => Err(Invalid::BudgetBounds),
    }
}

fn pods(amount: &IntOrString) -> Result<IntOrString, Invalid> {
    let text = match amount {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let percentage = text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
    match (percentage, text.parse::<i32>()) {
        (Some(..=100), _) => Ok(IntOrString::String(text)),
        // A number in quotes is one too.
        (None, Ok(number @ 0..)) => Ok(IntOrString::Int(number)),
        _ => Err(Invalid::BudgetAmount(text)),
    }
}
