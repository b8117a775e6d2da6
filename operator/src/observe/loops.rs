//! Containers that end: once, as with a reboot of their node, or again and again.

use k8s_openapi::jiff::SignedDuration;

use super::{View, containers::title};
use crate::{
    api::Reason,
    facts::{Container, End, Role, State},
    verdict::Verdict,
};

/// After a run of this length the kubelet forgets earlier ends too. An end so long ago doesn't explain why a container
/// that runs now isn't ready.
const LONG_AGO: SignedDuration = SignedDuration::from_mins(10);

/// The exit code of a fetch that came to nothing.
const GAVE_UP: i32 = 1;

/// A container that a further start most likely doesn't help.
pub(super) fn failing(view: &View<'_>, container: &Container) -> Option<Verdict> {
    let end = recent_end(view, container)?;
    if container.role == Role::Server
        && let Some(name) = end.named
    {
        return Some(of_the_server(view, end, name));
    }
    // It has tried again and again before it gave up, and says why.
    if container.role == Role::Fetcher && end.code == GAVE_UP && !end.message.is_empty() {
        return Some(Verdict::new(Reason::ModelFetchFailed, &*end.message));
    }
    is_loop(container, end).then(|| match container.role {
        Role::Server => of_the_server(view, end, ""),
        Role::Fetcher if end.is_out_of_memory() => Verdict::new(
            Reason::OutOfMemory,
            format!(
                "fetching the model took more memory than the limit of {}: raise resources.limits.memory",
                limit(view)
            ),
        ),
        Role::Fetcher => {
            Verdict::new(Reason::ModelFetchFailed, format!("fetching the model ended {}", how(end, &container.name)))
        }
        _ => Verdict::new(Reason::CrashLooping, format!("ended {}", how(end, &container.name))),
    })
}

/// A container that has ended, and of which a further start may be all that it takes.
pub(super) fn restarted(view: &View<'_>) -> Option<String> {
    let mut containers = view.live().flat_map(|(_, pod)| &pod.containers);
    containers.find_map(|container| {
        let end = recent_end(view, container)?;
        let how = if end.is_out_of_memory() {
            format!("for more memory than its limit{}", of_memory(view, container))
        } else {
            with_code(end)
        };
        Some(format!("{} ended {how}, and is started again", title(container)))
    })
}

/// How a container ended, where that is why it isn't ready now.
fn recent_end<'a>(view: &View<'_>, container: &'a Container) -> Option<&'a End> {
    let end = container.end()?;
    // An init container that has done its work, and one that has been started since.
    let is_done = container.role.ends() && end.code == 0;
    let is_over = container.state == State::Running && end.at.is_some_and(|at| view.now.duration_since(at) > LONG_AGO);
    (!is_done && !is_over).then_some(end)
}

/// Whether a container has ended at least twice in a short time. A kubelet that was started anew has forgotten how often
/// a container ended, so its own word isn't waited for.
fn is_loop(container: &Container, end: &End) -> bool {
    let earlier = match &container.state {
        State::Waiting { reason, .. } if &**reason == "CrashLoopBackOff" => return true,
        // The last start is the one after this end.
        State::Running => container.restarts - 1,
        _ => container.restarts,
    };
    let was_short = end.ran().map_or(!end.is_lost(), |ran| ran < LONG_AGO);
    earlier >= 1 && was_short
}

fn of_the_server(view: &View<'_>, end: &End, name: &str) -> Verdict {
    match name {
        "ModelLoadFailed" => Verdict::new(Reason::ModelLoadFailed, &*end.message),
        "ModelFetchFailed" => Verdict::new(Reason::ModelFetchFailed, &*end.message),
        "" if end.is_out_of_memory() => Verdict::new(
            Reason::OutOfMemory,
            format!("the server took more memory than its limit of {}: raise resources.limits.memory", limit(view)),
        ),
        "" => Verdict::new(Reason::CrashLooping, format!("the server ended {}", how(end, ""))),
        name => {
            let message = format!("the server ended with exit code {}: {name}: {}", end.code, end.message);
            Verdict::new(Reason::CrashLooping, message)
        }
    }
}

/// Exit code and last words. `container` is named where it isn't the pod's first.
fn how(end: &End, container: &str) -> String {
    let code = with_code(end);
    if !end.message.is_empty() {
        format!("{code}: {}", end.message)
    } else if container.is_empty() {
        format!("{code}; see kubectl logs --previous")
    } else {
        format!("{code}; see kubectl logs --previous --container {container}")
    }
}

fn with_code(end: &End) -> String {
    match end.reason.as_deref() {
        Some(reason) if end.is_out_of_memory() || end.is_lost() => format!("with exit code {} ({reason})", end.code),
        _ => format!("with exit code {}", end.code),
    }
}

fn of_memory(view: &View<'_>, container: &Container) -> String {
    if matches!(container.role, Role::Server | Role::Fetcher) { format!(" of {}", limit(view)) } else { String::new() }
}

fn limit(view: &View<'_>) -> String {
    view.service.limits.get("memory").map(ToString::to_string).unwrap_or_default()
}
