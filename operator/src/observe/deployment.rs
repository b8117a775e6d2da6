//! What the Deployment itself says: refused pods, and how far a rollout is.

use super::{View, containers, loops, pods};
use crate::{api::Reason, verdict::Verdict};

/// The Deployment's controller may make no pods.
pub(super) fn refused(view: &View<'_>) -> Option<Verdict> {
    let refusal = view.deployment.refusal.as_ref()?;
    let room = if refusal.reason == Reason::QuotaExceeded { room(view) } else { "" };
    Some(Verdict::new(refusal.reason, format!("{}{room}", refusal.message)))
}

/// What a rollout can do that finds no room beside the pods that it is to replace.
pub(super) fn room(view: &View<'_>) -> &'static str {
    if view.is_seen() && view.old() > 0 && !view.deployment.gives_way {
        "; the rollout waits for this, since the pods of the older spec keep their room until a new one serves: make room, \
         or set spec.rollout.maxSurge to 0 and spec.rollout.maxUnavailable to 1, so that an old pod stops first"
    } else {
        ""
    }
}

/// The pods do their work, but the cluster lacks an API that the spec asks for.
pub(super) fn api_missing(view: &View<'_>) -> Option<Verdict> {
    view.missing.first().map(|missing| Verdict::new(Reason::DependencyMissing, missing.to_string()))
}

/// The Deployment's controller has yet to look at what was applied.
pub(super) fn unseen(view: &View<'_>) -> Option<Verdict> {
    let message = "the Deployment's controller has yet to take up the current spec";
    (!view.is_seen()).then(|| Verdict::new(Reason::RollingOut, message))
}

/// How far the rollout is, and what is worth a word though it may pass.
pub(super) fn rolling_out(view: &View<'_>) -> Verdict {
    let counts = view.deployment.counts;
    let mut message =
        format!("{} of {} replicas are of the current spec, {} serve", counts.updated, view.wanted(), counts.available);
    if view.old() > 0 {
        message += &format!(", {} of an older spec remain", view.old());
    }
    let late = view.deployment.late.as_deref();
    let notes = [
        containers::fetching(view),
        late.map(str::to_owned),
        late.and_then(|_| containers::unfinished(view)),
        loops::restarted(view),
        pods::ended(view),
        pods::warning(view).map(str::to_owned),
    ];
    for note in notes.into_iter().flatten() {
        message += &format!("; {note}");
    }
    Verdict::new(Reason::RollingOut, message)
}
