//! What is kept of a container: how it failed, if it did.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus},
    jiff::{SignedDuration, Timestamp},
};

use super::words::{shared, tail};
use crate::build::{CONTAINER, FETCHER};

/// What the server's termination message begins with where a repetition can't help.
const NAMED: [&str; 3] = ["InvalidConfig", "ModelLoadFailed", "ModelFetchFailed"];

/// Waiting reasons of a container that is on its way.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// A container whose state matters: the server's, or one that somebody else put beside it and that isn't well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: Arc<str>,
    /// What it is there for.
    pub role: Role,
    /// How often it has been started again.
    pub restarts: i32,
    /// Its image.
    pub image: Arc<str>,
    /// What it does.
    pub state: State,
    /// How it ended before.
    pub last: Option<Box<End>>,
}

/// What a container is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server runs in it.
    Server,
    /// It fetches the model, and ends before the server begins.
    Fetcher,
    /// It has to end before the others begin.
    Init,
    /// It runs beside the server.
    Sidecar,
}

impl Role {
    /// Whether it is meant to end.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(self, Self::Fetcher | Self::Init)
    }
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has said.
    Unknown,
    /// It isn't started.
    Waiting {
        /// The kubelet's reason.
        reason: Arc<str>,
        /// The kubelet's words, or those of a registry that it carries.
        message: Arc<str>,
    },
    /// It runs.
    Running,
    /// It has ended.
    Ended(Box<End>),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit code.
    pub code: i32,
    /// The kubelet's reason.
    pub reason: Option<Arc<str>>,
    /// The class by which the server itself names a cause that stays.
    pub named: Option<&'static str>,
    /// What it said last, without that class.
    pub message: Arc<str>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub at: Option<Timestamp>,
}

impl Container {
    /// The facts of a container, where they matter. `init`: it is among the init containers; `stays`: it isn't meant to
    /// end.
    pub(super) fn of(status: &ContainerStatus, init: bool, stays: bool) -> Option<Self> {
        let role = match (status.name == CONTAINER && !init, stays) {
            (true, _) => Role::Server,
            (false, true) => Role::Sidecar,
            (false, false) if init && status.name == FETCHER => Role::Fetcher,
            (false, false) => Role::Init,
        };
        let state = State::of(status);
        let last =
            status.last_state.as_ref().and_then(|last| last.terminated.as_ref()).map(|end| Box::new(End::of(end)));
        let is_well = match &state {
            State::Running => status.ready,
            State::Ended(end) => role.ends() && end.code == 0,
            State::Waiting { reason, .. } => last.is_none() && ON_ITS_WAY.contains(&&**reason),
            State::Unknown => last.is_none(),
        };
        (!is_well).then(|| Self {
            name: shared(&status.name),
            role,
            restarts: status.restart_count,
            image: shared(&status.image),
            state,
            last,
        })
    }

    /// How it ended last, be it a moment or a long time ago.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => self.last.as_deref(),
        }
    }
}

impl State {
    fn of(status: &ContainerStatus) -> Self {
        let Some(state) = &status.state else { return Self::Unknown };
        match (&state.terminated, &state.running, &state.waiting) {
            (Some(end), _, _) => Self::Ended(Box::new(End::of(end))),
            (_, Some(_), _) => Self::Running,
            (_, _, Some(waiting)) => Self::waiting(waiting),
            _ => Self::Unknown,
        }
    }

    fn waiting(waiting: &ContainerStateWaiting) -> Self {
        let message = waiting.message.as_deref().unwrap_or_default();
        Self::Waiting {
            reason: shared(waiting.reason.as_deref().unwrap_or_default()),
            message: tail(registry_words(message)).into(),
        }
    }
}

/// While it waits to try again, the kubelet puts a preamble before the registry's answer. Without it the message stays
/// the same from try to try.
fn registry_words(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("Back-off pulling image ") else { return message };
    rest.split_once(": ErrImagePull: ").map_or(message, |(_, words)| words)
}

impl End {
    fn of(end: &ContainerStateTerminated) -> Self {
        let text = end.message.as_deref().unwrap_or_default().trim();
        // The server's message is `Reason: sentence`. The reason is read before a long sentence is cut.
        let named = text.split_once(": ").and_then(|(reason, sentence)| {
            NAMED.into_iter().find(|known| *known == reason).map(|known| (known, sentence))
        });
        Self {
            code: end.exit_code,
            reason: end.reason.as_deref().map(shared),
            named: named.map(|(reason, _)| reason),
            message: tail(named.map_or(text, |(_, sentence)| sentence)).into(),
            began: end.started_at.as_ref().map(|time| time.0),
            at: end.finished_at.as_ref().map(|time| time.0),
        }
    }

    /// Whether the kernel killed it for want of memory.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.reason.as_deref() == Some("OOMKilled")
    }

    /// How long it ran. Of one that was lost with its node nobody knows.
    #[must_use]
    pub fn ran(&self) -> Option<SignedDuration> {
        Some(self.at?.duration_since(self.began?))
    }

    /// Whether it was lost with its node: the kubelet found out later that it is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.reason.as_deref(), Some("ContainerStatusUnknown" | "Unknown"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(mut fields: Value) -> ContainerStatus {
        for (key, value) in
            [("name", json!("sentiment")), ("image", json!("s:1")), ("imageID", json!("")), ("ready", json!(false))]
        {
            fields.as_object_mut().unwrap().entry(key).or_insert(value);
        }
        fields.as_object_mut().unwrap().entry("restartCount").or_insert(json!(0));
        serde_json::from_value(fields).unwrap()
    }

    fn ended(message: &str) -> End {
        let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
        Container::of(&status(json!({"state": state})), false, true).unwrap().end().unwrap().clone()
    }

    #[test]
    fn the_reason_is_read_before_a_long_message_is_cut() {
        let end = ended(&format!("ModelLoadFailed: {} holds no *.onnx file", "x".repeat(3000)));
        assert_eq!((end.named, end.message.len()), (Some("ModelLoadFailed"), 1024));
        assert!(end.message.ends_with("holds no *.onnx file"));
        let end = ended(&format!("{} gave up", "x".repeat(3000)));
        assert_eq!(end.named, None);
        assert!(end.message.ends_with(" gave up"));
    }

    #[test]
    fn only_what_the_server_names_itself_is_a_name() {
        assert_eq!(ended("InvalidConfig: MLOPS_PORT is \"x\"").named, Some("InvalidConfig"));
        assert_eq!(&*ended("InvalidConfig: MLOPS_PORT is \"x\"").message, "MLOPS_PORT is \"x\"");
        assert_eq!((ended("Error: no").named, &*ended("Error: no").message), (None, "Error: no"));
    }

    #[test]
    fn a_container_that_is_well_needs_nothing_kept() {
        let kept = |fields: Value, init, stays| Container::of(&status(fields), init, stays).is_some();
        let last = json!({"terminated": {"exitCode": 1}});
        assert!(!kept(json!({"ready": true, "state": {"running": {}}, "lastState": last}), false, true));
        assert!(!kept(json!({"name": "init", "state": {"terminated": {"exitCode": 0}}}), true, false));
        assert!(!kept(json!({"state": {"waiting": {"reason": "PodInitializing"}}}), false, true));
        assert!(kept(json!({"state": {"waiting": {"reason": "PodInitializing"}}, "lastState": last}), false, true));
        assert!(kept(json!({"name": "init", "state": {"running": {}}}), true, false));
        assert!(kept(json!({"name": "proxy", "state": {"terminated": {"exitCode": 0}}}), false, true));
    }

    #[test]
    fn a_registrys_words_stay_the_same_while_the_kubelet_waits() {
        let words = "failed to resolve reference \"s:1\": not found".repeat(30);
        let of = |reason: &str, message: String| {
            let waiting = json!({"waiting": {"reason": reason, "message": message}});
            match Container::of(&status(json!({"state": waiting})), false, true).unwrap().state {
                State::Waiting { message, .. } => message,
                other => panic!("{other:?}"),
            }
        };
        let back_off = format!("Back-off pulling image \"s:1\": ErrImagePull: {words}");
        assert_eq!(of("ErrImagePull", words), of("ImagePullBackOff", back_off));
    }
}
