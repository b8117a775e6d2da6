//! How many pods run, and how many may be missing.

use k8s_openapi::{
    api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, MetricSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Invalid, in_range};
use crate::api::{self, Autoscaling, DisruptionBudget, SentimentServiceSpec};

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
    /// As many as an autoscaler of ours finds right.
    Auto(Box<Autoscaler>),
    /// As many as something else finds right that scales the Deployment, and none where it says so.
    External,
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

/// How far a rollout may go above and below the number of pods that is asked for; not both are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Pods beyond it.
    pub max_surge: IntOrString,
    /// Pods short of it.
    pub max_unavailable: IntOrString,
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
            Self::External => 0,
        }
    }

    /// The most pods that can run.
    #[must_use]
    pub const fn most(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(autoscaler) => autoscaler.max,
            Self::External => MOST_REPLICAS,
        }
    }
}

pub(super) fn scale(spec: &SentimentServiceSpec) -> Result<Scale, Invalid> {
    match (spec.replicas, &spec.autoscaling) {
        (Some(_), Some(_)) => Err(Invalid::TwoScales),
        (None, Some(autoscaling)) => match (autoscaling.max_replicas, autoscaling.external) {
            (Some(max), None) => autoscaler(autoscaling, max).map(Box::new).map(Scale::Auto),
            (None, Some(external)) => {
                let alone = Autoscaling { external: Some(external), ..Autoscaling::default() };
                if *autoscaling == alone { Ok(Scale::External) } else { Err(Invalid::ExternalSettings) }
            }
            _ => Err(Invalid::AutoscalerOrExternal),
        },
        (replicas, None) => {
            in_range("replicas", replicas.unwrap_or(DEFAULT_REPLICAS), 0, MOST_REPLICAS).map(Scale::Fixed)
        }
    }
}

fn autoscaler(autoscaling: &Autoscaling, max: i32) -> Result<Autoscaler, Invalid> {
    let max = in_range("autoscaling.maxReplicas", max, 1, MOST_REPLICAS)?;
    let min = autoscaling.min_replicas.unwrap_or(DEFAULT_REPLICAS.min(max));
    let min = in_range("autoscaling.minReplicas", min, 0, MOST_REPLICAS)?;
    let without_pods = |metric: &MetricSpec| matches!(metric.type_.as_str(), "External" | "Object");
    if min == 0 && !autoscaling.metrics.iter().any(without_pods) {
        return Err(Invalid::NothingToMeasure);
    }
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
        (Some(amount), None) => pods(amount).map(Budget::MinAvailable).map(Some).map_err(Invalid::BudgetAmount),
        (None, Some(amount)) => pods(amount).map(Budget::MaxUnavailable).map(Some).map_err(Invalid::BudgetAmount),
        _ => Err(Invalid::BudgetBounds),
    }
}

/// Without a word in the spec a pod comes before another goes, so that a rollout loses no capacity. Where none may come
/// first, one has to go.
pub(super) fn rollout(given: Option<&api::Rollout>) -> Result<Rollout, Invalid> {
    let api::Rollout { max_surge, max_unavailable } = given.cloned().unwrap_or_default();
    let amount = |field, given: Option<IntOrString>| match given.as_ref().map(pods) {
        None => Ok(None),
        Some(Ok(amount)) if !matches!(amount, IntOrString::Int(number) if number > MOST_REPLICAS) => Ok(Some(amount)),
        Some(Ok(IntOrString::Int(number))) => Err(Invalid::RolloutAmount { field, amount: number.to_string() }),
        Some(Ok(IntOrString::String(amount)) | Err(amount)) => Err(Invalid::RolloutAmount { field, amount }),
    };
    let max_surge = amount("maxSurge", max_surge)?.unwrap_or(IntOrString::Int(1));
    let otherwise = || IntOrString::Int(i32::from(is_none(&max_surge)));
    let max_unavailable = amount("maxUnavailable", max_unavailable)?.unwrap_or_else(otherwise);
    if is_none(&max_surge) && is_none(&max_unavailable) {
        return Err(Invalid::NoRollout);
    }
    Ok(Rollout { max_surge, max_unavailable })
}

fn is_none(amount: &IntOrString) -> bool {
    match amount {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(percentage) => percentage.trim_end_matches('%').parse() == Ok(0),
    }
}

/// A number or a percentage of pods; else what was written in its place.
fn pods(amount: &IntOrString) -> Result<IntOrString, String> {
    let text = match amount {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let percentage = text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
    match (percentage, text.parse::<i32>()) {
        (Some(..=100), _) => Ok(IntOrString::String(text)),
        // A number in quotes is one too.
        (None, Ok(number @ 0..)) => Ok(IntOrString::Int(number)),
        _ => Err(text),
    }
}
