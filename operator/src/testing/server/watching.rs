//! A watch: what has happened since a version, and what happens then.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use axum::body::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep_until},
};
use tower::BoxError;

use super::{
    Service,
    refusal::Refusal,
    store::{Change, Selection},
};
use crate::{
    lock::lock,
    testing::{AnswerBody, boxed},
};

/// How often a watch tells how far it has come, as a real server does it.
const BOOKMARK: Duration = Duration::from_mins(1);

/// How long a watch lasts that doesn't say so.
const LONGEST: Duration = Duration::from_mins(30);

struct Watching {
    service: Service,
    selection: Selection,
    partial: bool,
    bookmarks: bool,
    version: u64,
    changed: Receiver<u64>,
    waiting: VecDeque<Value>,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
}

/// The answer of a watch.
pub(super) fn watch(
    service: &Service,
    selection: Selection,
    query: &HashMap<String, String>,
    partial: bool,
) -> AnswerBody {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let now = Instant::now();
    let mut watching = Watching {
        service: service.clone(),
        selection,
        partial,
        bookmarks: query.get("allowWatchBookmarks").is_some_and(|text| text == "true"),
        version: number("resourceVersion").unwrap_or(0),
        changed: service.changed.subscribe(),
        waiting: VecDeque::new(),
        next_bookmark: now + BOOKMARK,
        end: now + number("timeoutSeconds").map_or(LONGEST, Duration::from_secs),
        ended: false,
    };
    watching.begin();
    let lines = stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from(format!("{event}\n")))), watching))
    });
    boxed(StreamBody::new(lines))
}

impl Watching {
    fn begin(&mut self) {
        let store = lock(&self.service.store);
        if self.version == 0 {
            // From anywhere: all that is there is new.
            let found = store.objects.iter().filter(|(key, object)| self.selection.has(key, object));
            let added: Vec<Value> = found.map(|(_, object)| self.event("ADDED", object)).collect();
            self.version = store.version;
            self.waiting.extend(added);
        } else if self.version < store.forgotten {
            let status = Refusal::expired().into_status();
            self.waiting.push_back(json!({"type": "ERROR", "object": status}));
            self.ended = true;
        }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.changed.mark_unchanged();
            self.look();
            if !self.waiting.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = sleep_until(self.end) => return None,
                () = sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK;
                    return Some(json!({"type": "BOOKMARK", "object": {
                        "apiVersion": "v1", "kind": self.selection.resource,
                        "metadata": {"resourceVersion": self.version.to_string()},
                    }}));
                }
            }
        }
    }

    /// Takes up what has happened since.
    fn look(&mut self) {
        let store = lock(&self.service.store);
        let since = store.history.iter().filter(|change| change.version > self.version);
        let events: Vec<Value> = since.filter_map(|change| self.told(change)).collect();
        self.version = store.version;
        drop(store);
        self.waiting.extend(events);
    }

    /// What a change means for who sees only some objects.
    fn told(&self, change: &Change) -> Option<Value> {
        let seen =
            |object: &Option<Value>| object.as_ref().is_some_and(|object| self.selection.has(&change.key, object));
        let (type_, object) = match (seen(&change.before), seen(&change.after)) {
            (false, false) => return None,
            (false, true) => ("ADDED", &change.after),
            (true, true) => ("MODIFIED", &change.after),
            // Gone, or gone from the selection.
            (true, false) => ("DELETED", if change.after.is_some() { &change.after } else { &change.before }),
        };
        object.as_ref().map(|object| self.event(type_, object))
    }

    fn event(&self, type_: &str, object: &Value) -> Value {
        let object = if self.partial { metadata_of(object) } else { object.clone() };
        json!({"type": type_, "object": object})
    }
}

/// An object of which only the metadata is wanted.
pub(super) fn metadata_of(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}
