//! As many pods as are meant to run: none, or all that serve.

use super::{View, deployment::api_missing};
use crate::{api::Reason, validate::Scale, verdict::Verdict};

/// No pod is meant to run.
pub(super) fn at_zero(view: &View<'_>) -> Option<Verdict> {
    if view.wanted() > 0 {
        return None;
    }
    let why = match view.service.scale {
        _ if view.service.suspended => "spec.suspend is true",
        Scale::Fixed(_) => "spec.replicas is 0",
        Scale::Auto(_) => "its autoscaler wants no pod at present",
        Scale::External => "what scales the Deployment wants no pod at present",
    };
    let message = match view.deployment.counts.total {
        0 => format!("{why}: no pod runs"),
        1 => format!("{why}: 1 pod is stopping"),
        left => format!("{why}: {left} pods are stopping"),
    };
    Some(Verdict::new(Reason::Suspended, message))
}

/// Every pod is of the current spec, and enough of them serve.
pub(super) fn serving(view: &View<'_>) -> Option<Verdict> {
    let (wanted, counts) = (view.wanted(), view.deployment.counts);
    let is_complete = counts.updated >= wanted && counts.total == counts.updated && counts.available >= wanted;
    if !is_complete || !view.is_seen() {
        return None;
    }
    let meant = view.deployment.replicas.unwrap_or(wanted);
    let serving = || Verdict::new(Reason::Serving, format!("{} of {meant} replicas serve", counts.available));
    Some(api_missing(view).unwrap_or_else(serving))
}
