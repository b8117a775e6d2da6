//! Whether a status is worth a request, and when.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::{ConditionType, Reason, SentimentServiceStatus};

/// What moves in a rollout moves again soon: most new pods are ready within this time of each other.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// When to write a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// At once.
    Now,
    /// After this time, if nothing more important comes first.
    Later(Duration),
    /// Not at all: it is what the object has.
    No,
}

/// Decides on a status, given the one that was written last and how long ago that was.
///
/// While a service rolls out, counts, words and the first replica that serves may wait a moment, so that a new service
/// takes two writes: one when it begins, one when it serves. Anything else that moves is written at once.
#[must_use]
pub fn worth_writing(
    previous: &SentimentServiceStatus,
    next: &SentimentServiceStatus,
    since_last_write: Duration,
) -> Write {
    if previous == next {
        return Write::No;
    }
    let left = SETTLES_WITHIN.saturating_sub(since_last_write);
    if left.is_zero() || !may_wait(previous, next) { Write::Now } else { Write::Later(left) }
}

fn may_wait(previous: &SentimentServiceStatus, next: &SentimentServiceStatus) -> bool {
    let is_rolling = next.reason() == Some(Reason::RollingOut);
    // Of a rollout's model nothing but the digest and who told it moves without a change of the spec.
    let steady = |status: &SentimentServiceStatus| {
        let model = status.model.as_ref().map(|model| (model.name.clone(), model.source.clone(), model.delivery));
        let addresses = (status.selector.clone(), status.url.clone(), status.external_url.clone());
        (status.observed_generation, addresses, status.image.clone(), model)
    };
    let pairs = previous.conditions.iter().zip(&next.conditions);
    steady(previous) == steady(next)
        && (is_rolling || digest(previous) == digest(next))
        && previous.conditions.len() == next.conditions.len()
        && pairs.into_iter().all(|(old, new)| condition_may_wait(old, new, is_rolling))
}

fn condition_may_wait(old: &Condition, new: &Condition, is_rolling: bool) -> bool {
    let is_available = new.type_ == ConditionType::Available.as_str();
    let is_of_a_rollout = is_rolling || new.reason == Reason::RollingOut.as_str();
    let serves_again = is_available && is_rolling && new.status == "True";
    (&old.type_, &old.reason) == (&new.type_, &new.reason)
        && (old.status == new.status || serves_again)
        && (old.message == new.message || is_available || is_of_a_rollout)
}

fn digest(status: &SentimentServiceStatus) -> Option<&String> {
    status.model.as_ref()?.digest.as_ref()
}
