//! A container that can't start, or ends again and again: the server's, or one that somebody else put beside it.

use super::{View, loops};
use crate::{
    api::Reason,
    facts::{Container, Role, State},
    verdict::Verdict,
};

/// The first pod whose server has failed, by name, decides.
pub(super) fn of_the_server(view: &View<'_>) -> Option<Verdict> {
    failing(view, |role| role == Role::Server).map(|(_, failure)| failure)
}

/// A pod is no better than its worst container, whoever put it there. The message begins with its name.
pub(super) fn of_others(view: &View<'_>) -> Option<Verdict> {
    let (container, failure) = failing(view, |role| role != Role::Server)?;
    Some(Verdict::new(failure.reason, format!("{}: {}", title(container), failure.message)))
}

/// What a container is called in a message.
pub(super) fn title(container: &Container) -> String {
    match container.role {
        Role::Server => "the server".to_owned(),
        Role::Init => format!("init container {}", container.name),
        Role::Sidecar => format!("container {}", container.name),
    }
}

fn failing<'a>(view: &View<'a>, of: impl Fn(Role) -> bool) -> Option<(&'a Container, Verdict)> {
    let containers = view.live().flat_map(|(_, pod)| &pod.containers).filter(|container| of(container.role));
    containers.into_iter().find_map(|container| {
        let failure = waiting(container).or_else(|| loops::failing(view, container))?;
        Some((container, failure))
    })
}

/// A container that the kubelet can't start.
fn waiting(container: &Container) -> Option<Verdict> {
    let State::Waiting { reason, message } = &container.state else { return None };
    let reason = match &**reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImagePullFailed,
        // The kubelet has only just begun to look after the pod, and tries again at once.
        "CreateContainerConfigError" if message.contains("failed to sync ") => return None,
        // A Secret or ConfigMap that the container refers to isn't there.
        "CreateContainerConfigError" => Reason::DependencyMissing,
        "CreateContainerError" | "RunContainerError" => Reason::CrashLooping,
        _ => return None,
    };
    let message = match reason {
        Reason::ImagePullFailed => format!("image {}: {message}", container.image),
        _ => message.to_string(),
    };
    Some(Verdict::new(reason, message))
}

/// An init container that runs on and on, which holds up all others.
pub(super) fn unfinished(view: &View<'_>) -> Option<String> {
    let mut containers = view.live().flat_map(|(_, pod)| &pod.containers);
    let running = containers.find(|container| container.role == Role::Init && container.state == State::Running)?;
    Some(format!("{} still runs", title(running)))
}
