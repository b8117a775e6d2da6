//! Whether the autoscaler does its work.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{View, left};
use crate::{api::PartReason, facts::Fault, validate::Scale, verdict::Part};

/// New pods are measured a minute after they serve, and the autoscaler looks every quarter of one.
const FIRST_METRICS: SignedDuration = SignedDuration::from_mins(2);

/// What is said until its first look.
const EARLY: &str = "the autoscaler has yet to look";

/// `None` where there is no autoscaler of ours, or nothing for it to do.
pub(super) fn of(view: &View<'_>) -> Option<Part> {
    if !matches!(view.service.scale, Scale::Auto(_)) || view.wanted() == 0 {
        return None;
    }
    let Some(autoscaler) = view.autoscaler else {
        return Some(Part::waits(EARLY));
    };
    let Some(fault) = autoscaler.fault() else {
        return Some(if autoscaler.active {
            Part::holds(PartReason::Active, "the autoscaler has its metrics")
        } else {
            Part::waits(EARLY)
        });
    };
    let words = format!("the autoscaler can't scale, {}: {}", fault.reason, fault.message);
    let is_early = view.deployment.counts.available == 0 || due(view).is_some();
    Some(if is_early { Part::waits(words) } else { Part::fails(PartReason::Inactive, words) })
}

/// When it is no longer too early to tell.
pub(super) fn due(view: &View<'_>) -> Option<Duration> {
    let fault = view.autoscaler?.fault()?;
    left(view.now, begun(view, fault), FIRST_METRICS)
}

/// When there was something to measure, and it wasn't.
fn begun(view: &View<'_>, fault: &Fault) -> Option<Timestamp> {
    fault.since.max(view.deployment.available_since)
}
