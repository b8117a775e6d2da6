//! What a kubelet last warned of. A pod without containers says nothing in its status of a sandbox that can't be made or
//! a volume that can't be mounted: only Events do.
//!
//! The API server has no cache of Events and reads all of a namespace to list those of one pod, so this is asked for
//! pods that are [silent](crate::observe::silent_pod), and rarely.

use k8s_openapi::{
    api::events::v1::Event,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Client, api::ListParams};

use crate::facts::head;

/// A pod has but a few kinds of warnings; those that are repeated are counted in one Event.
const MOST: u32 = 50;

/// A kubelet repeats itself every few minutes as long as a cause stays.
const STALE: SignedDuration = SignedDuration::from_mins(10);

/// Numbers of sandboxes and requests have at least so many digits.
const LONG_NUMBER: usize = 12;

/// The last warning of a pod, as `pod NAME: REASON: words`.
pub async fn last_warning(client: &Client, namespace: &str, pod: &str, uid: &str) -> kube::Result<Option<String>> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let of_the_pod = format!("regarding.uid={uid},regarding.kind=Pod,type=Warning");
    let found = events.list(&ListParams::default().fields(&of_the_pod).limit(MOST)).await?;
    Ok(words(pod, &found.items, Timestamp::now()))
}

fn words(pod: &str, events: &[Event], now: Timestamp) -> Option<String> {
    let last = events
        .iter()
        // A pod that has a node by now.
        .filter(|event| event.reason.as_deref() != Some("FailedScheduling"))
        .filter_map(|event| Some((said(event)?, event)))
        .filter(|(at, _)| now.duration_since(*at) < STALE)
        .max_by_key(|(at, _)| *at);
    let (_, event) = last?;
    let (reason, note) = (event.reason.as_deref().unwrap_or_default(), event.note.as_deref().unwrap_or_default());
    Some(format!("pod {pod}: {reason}: {}", head(&without_numbers(note))))
}

/// When an Event was last said.
fn said(event: &Event) -> Option<Timestamp> {
    let repeated = event.series.as_ref().map(|series| series.last_observed_time.0);
    let counted = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    [repeated, counted, once].into_iter().flatten().max().or(made)
}

/// Each try has a sandbox with another number. Without it the words stay the same, and a status that carries them too.
fn without_numbers(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_hexdigit();
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (number, after) = from.split_at(from.find(|character| !is_part(character)).unwrap_or(from.len()));
        kept.push_str(before);
        let is_number = number.len() >= LONG_NUMBER && number.contains(|digit: char| digit.is_ascii_digit());
        kept.push_str(if is_number { "…" } else { number });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn event(reason: &str, note: &str, minute: i64) -> Event {
        let at = format!("2026-01-01T00:{minute:02}:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": "e", "creationTimestamp": "2026-01-01T00:00:00Z"}, "eventTime": null,
            "reason": reason, "note": note, "type": "Warning", "deprecatedLastTimestamp": at,
        }))
        .unwrap()
    }

    fn of(events: &[Event]) -> Option<String> {
        words("reviews-1", events, NOW.parse().unwrap())
    }

    #[test]
    fn the_last_warning_counts() {
        let mount = "MountVolume.SetUp failed for volume \"config\" : configmap \"reviews\" not found";
        let events = [
            event("FailedMount", mount, 8),
            event("FailedCreatePodSandBox", "no CNI", 5),
            event("FailedScheduling", "no node", 9),
        ];
        assert_eq!(of(&events), Some(format!("pod reviews-1: FailedMount: {mount}")));
        assert_eq!(of(&events[2..]), None, "it has a node by now");
        assert_eq!(of(&[event("FailedMount", mount, 0)]), None, "nobody has said it for a while");
    }

    #[test]
    fn the_words_stay_the_same_from_try_to_try() {
        let note = |sandbox: &str| {
            format!("failed to setup network for sandbox \"{sandbox}\": plugin type=\"bridge\" failed (add): deadbeef")
        };
        let [one, two] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"]
            .map(|sandbox| of(&[event("FailedCreatePodSandBox", &note(sandbox), 9)]).unwrap());
        assert_eq!(one, two);
        let expected = "pod reviews-1: FailedCreatePodSandBox: failed to setup network for sandbox \"…\": plugin \
                        type=\"bridge\" failed (add): deadbeef";
        assert_eq!(one, expected);
    }
}
