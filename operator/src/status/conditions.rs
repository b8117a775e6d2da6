//! The one place that makes conditions.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::{
    api::{ConditionType, Reason},
    verdict::{Part, Verdict},
};

/// The conditions that every service has.
pub(super) fn conditions(
    verdict: &Verdict,
    available: i32,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let Verdict { reason, message } = verdict;
    let stalled = !reason.is_settled() && !reason.may_pass();
    let of = |type_| {
        let (holds, message) = match type_ {
            ConditionType::Available => (available > 0, format!("{available} replicas take traffic")),
            ConditionType::Reconciling => (reason.may_pass(), message.clone()),
            ConditionType::Stalled => (stalled, message.clone()),
            _ => (*reason == Reason::Serving, message.clone()),
        };
        condition(type_, Some(holds), reason.as_str(), message, generation, previous, now)
    };
    ConditionType::ALWAYS.into_iter().map(of).collect()
}

/// The condition of a part that not every service has.
pub(super) fn of_part(
    type_: ConditionType,
    part: &Part,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    condition(type_, part.holds, part.reason.as_str(), part.message.clone(), generation, previous, now)
}

/// The conditions of parts, as they were: nothing new was found out about them.
pub(super) fn kept(previous: &[Condition]) -> impl Iterator<Item = Condition> {
    let is_of_a_part =
        |condition: &&Condition| ConditionType::OF_PARTS.into_iter().any(|type_| type_.as_str() == condition.type_);
    previous.iter().filter(is_of_a_part).cloned()
}

/// Its time moves with its status, not with its words.
fn condition(
    type_: ConditionType,
    holds: Option<bool>,
    reason: &str,
    message: String,
    generation: Option<i64>,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let unchanged = previous.iter().find(|old| old.type_ == type_.as_str() && old.status == status);
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: unchanged.map_or(Time(now), |old| old.last_transition_time.clone()),
    }
}
