//! Finds out how a service is doing, from the facts of its Deployment and of the pods of the current revision.
//!
//! [`CHECKS`] is the whole of it: the first that has something to say decides. To add a failure, write a check and put
//! it where it belongs in that order.

mod containers;
mod deployment;
mod loops;
mod pods;
mod published;
mod scale;
mod scaling;
mod view;

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub use self::{pods::silent_pod, view::View};
use crate::{
    facts::Counts,
    verdict::{Part, Verdict},
};

/// A question to what is known of a service: the answer, where it decides.
pub type Check = fn(&View<'_>) -> Option<Verdict>;

/// All questions, in the order in which they decide.
pub const CHECKS: &[Check] = &[
    scale::at_zero,
    scale::serving,
    // What needs somebody, from the one who knows best to the one who knows least.
    containers::of_the_server,
    containers::of_the_fetcher,
    containers::of_others,
    pods::without_its_claim,
    pods::unschedulable,
    pods::unmountable,
    deployment::refused,
    deployment::api_missing,
    deployment::unseen,
];

/// How a service is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Why the service is ready, or isn't.
    pub verdict: Verdict,
    /// Pods by state.
    pub counts: Counts,
    /// Whether the autoscaler does its work, where there is one.
    pub scaling: Option<Part>,
    /// Whether a Gateway has accepted each route, where there are some.
    pub published: Option<Part>,
    /// When time alone may change this, so that a second look is due without any event.
    pub look_again: Option<Duration>,
}

/// Observes a service whose children have been applied.
#[must_use]
pub fn observe(view: &View<'_>) -> Observation {
    let decided = CHECKS.iter().find_map(|check| check(view));
    let (scaling, published) = (scaling::of(view), published::of(view));
    let second_looks = [scaling::due(view), published::due(view), pods::due(view), containers::due(view)];
    Observation {
        verdict: decided.unwrap_or_else(|| deployment::rolling_out(view)),
        counts: view.deployment.counts,
        scaling,
        published,
        look_again: second_looks.into_iter().flatten().min(),
    }
}

/// How long it is until so much time has passed since then; `None` if it has, or nobody knows when it began.
fn left(now: Timestamp, since: Option<Timestamp>, time: SignedDuration) -> Option<Duration> {
    let left = time - now.duration_since(since?);
    // A clock that is behind must not make anybody wait for ever.
    Duration::try_from(left.min(time)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
