//! A container that can't start, or ends again and again: the server's, or one that somebody else put beside it.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{View, left, loops};
use crate::{
    api::Reason,
    facts::{Container, Pod, Role, State},
    image::ImageReference,
    validate::{ModelImage, Source},
    verdict::Verdict,
};

/// A small model is fetched within this time.
const LONG_FETCH: SignedDuration = SignedDuration::from_secs(10);
/// What containerd before 2.1 says, which knows no images as mounts: it looks for the path of the volume, which has none.
const NOT_BY_THE_RUNTIME: &str = "failed to mkdir \"\"";
/// What there is to do where a node can't mount images.
pub(super) const IMAGE_VOLUMES_OFF: &str = "this node mounts no images as volumes: switch the feature gate ImageVolume on in its kubelet and see that its runtime has them, or set the operator's --image-volumes to never, and pods fetch such models";

/// The first pod whose server has failed, by name, decides.
pub(super) fn of_the_server(view: &View<'_>) -> Option<Verdict> {
    failing(view, |role| role == Role::Server).map(|(_, failure)| failure)
}

/// Then the first pod whose model can't be fetched.
pub(super) fn of_the_fetcher(view: &View<'_>) -> Option<Verdict> {
    failing(view, |role| role == Role::Fetcher).map(|(_, failure)| failure)
}

/// A pod is no better than its worst container, whoever put it there. The message begins with its name.
pub(super) fn of_others(view: &View<'_>) -> Option<Verdict> {
    let (container, failure) = failing(view, |role| matches!(role, Role::Init | Role::Sidecar))?;
    Some(Verdict::new(failure.reason, format!("{}: {}", title(container), failure.message)))
}

/// What a container is called in a message.
pub(super) fn title(container: &Container) -> String {
    match container.role {
        Role::Server => "the server".to_owned(),
        Role::Fetcher | Role::Init => format!("init container {}", container.name),
        Role::Sidecar => format!("container {}", container.name),
    }
}

fn failing<'a>(view: &View<'a>, of: impl Fn(Role) -> bool) -> Option<(&'a Container, Verdict)> {
    let containers = view.live().flat_map(|(_, pod)| &pod.containers).filter(|container| of(container.role));
    containers.into_iter().find_map(|container| {
        let failure = waiting(view, container).or_else(|| loops::failing(view, container))?;
        Some((container, failure))
    })
}

/// A container that the kubelet can't start.
fn waiting(view: &View<'_>, container: &Container) -> Option<Verdict> {
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
    let model = mounted_model(view).filter(|_| container.role == Role::Server);
    if let Some(model) = model {
        // The kubelet gives a container the words about the images of its volumes too.
        if reason == Reason::ImagePullFailed && is_about(model, &view.service.image, message) {
            let words = format!("model image {}: {message}", model.reference);
            return Some(Verdict::new(Reason::ModelFetchFailed, words));
        }
        if reason == Reason::CrashLooping && message.contains(NOT_BY_THE_RUNTIME) {
            return Some(Verdict::new(Reason::ModelFetchFailed, format!("{message}; {IMAGE_VOLUMES_OFF}")));
        }
    }
    let message = match reason {
        Reason::ImagePullFailed => format!("image {}: {message}", container.image),
        _ => message.to_string(),
    };
    Some(Verdict::new(reason, message))
}

/// The image that the node mounts as the model.
pub(super) fn mounted_model<'a>(view: &View<'a>) -> Option<&'a ModelImage> {
    match &view.service.source {
        Source::Image(image) if !image.is_fetched => Some(image),
        _ => None,
    }
}

/// Whether a registry's words are about the model's image, and not about the server's.
fn is_about(model: &ModelImage, server: &ImageReference, words: &str) -> bool {
    let name = model.reference.split_once('@').map_or(&*model.reference, |(name, _)| name);
    // A colon before the last slash is a registry's port.
    let repository = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    let is_named = |repository: &str| words.contains(repository);
    is_named(repository) && (!is_named(server.repository()) || repository.len() > server.repository().len())
}

/// A model that is being fetched for a while already.
pub(super) fn fetching(view: &View<'_>) -> Option<String> {
    let is_old = |pod: &Pod| pod.created.is_some_and(|created| view.now.duration_since(created) >= LONG_FETCH);
    view.live().find(|(_, pod)| is_fetching(pod) && is_old(pod))?;
    Some(format!("the model is being fetched: {}", view.service.source))
}

/// When that will be worth a word.
pub(super) fn due(view: &View<'_>) -> Option<Duration> {
    view.live().filter(|(_, pod)| is_fetching(pod)).filter_map(|(_, pod)| left(view.now, pod.created, LONG_FETCH)).min()
}

fn is_fetching(pod: &Pod) -> bool {
    pod.containers.iter().any(|container| container.role == Role::Fetcher && container.state == State::Running)
}

/// An init container that runs on and on, which holds up all others.
pub(super) fn unfinished(view: &View<'_>) -> Option<String> {
    let mut containers = view.live().flat_map(|(_, pod)| &pod.containers);
    let running = containers.find(|container| container.role == Role::Init && container.state == State::Running)?;
    Some(format!("{} still runs", title(running)))
}
