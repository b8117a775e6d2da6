//! Faults in the answer of a watch, event by event.

use std::{collections::VecDeque, time::Duration};

use axum::body::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use super::{AnswerBody, boxed, faults::Fault};

type Line = Result<Bytes, BoxError>;

/// What a watch answers, with a fault. What no watch can suffer leaves it as it is.
pub(super) fn disturb<B>(body: B, fault: &Fault) -> AnswerBody
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let frames = body.into_data_stream().map(|frame| frame.map_err(Into::into)).boxed();
    match *fault {
        Fault::EventsDropped(count) => whole(lines(frames).skip(count)),
        Fault::EventsRepeated => whole(lines(frames).flat_map(|line| {
            let again = line.as_ref().ok().cloned().map(Ok);
            stream::iter([Some(line), again].into_iter().flatten())
        })),
        Fault::EventsLate(time) => whole(held(lines(frames), time, false)),
        Fault::EventsCoalesced(time) => whole(held(lines(frames), time, true)),
        Fault::Expires(count) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old resource version: a fault of the test",
            });
            let error = format!("{}\n", json!({"type": "ERROR", "object": status}));
            whole(lines(frames).take(count).chain(stream::once(async { Ok(error.into()) })))
        }
        _ => whole(frames),
    }
}

fn whole(lines: impl Stream<Item = Line> + Send + 'static) -> AnswerBody {
    boxed(StreamBody::new(lines.map(|line| line.map(Frame::data))))
}

/// The lines of a stream of bytes, each with its end.
fn lines(frames: impl Stream<Item = Line> + Send + Unpin + 'static) -> impl Stream<Item = Line> + Send + 'static {
    stream::unfold((frames, Vec::new()), |(mut frames, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let after = rest.split_off(end + 1);
                return Some((Ok(rest.into()), (frames, after)));
            }
            match frames.next().await? {
                Ok(bytes) => rest.extend_from_slice(&bytes),
                Err(error) => return Some((Err(error), (frames, rest))),
            }
        }
    })
}

/// Lines that wait for their time.
struct Held<S> {
    lines: S,
    waiting: VecDeque<(Instant, String, Line)>,
    time: Duration,
    coalesces: bool,
    ended: bool,
}

/// Holds each line back for some time. Where they coalesce, a later event of the same object takes the place of one that
/// still waits.
fn held(
    lines: impl Stream<Item = Line> + Send + 'static,
    time: Duration,
    coalesces: bool,
) -> impl Stream<Item = Line> + Send + 'static {
    let held = Held { lines: lines.boxed(), waiting: VecDeque::new(), time, coalesces, ended: false };
    stream::unfold(held, |mut held| async move {
        loop {
            let due = held.waiting.front().map(|(due, _, _)| *due);
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            if held.ended && held.waiting.is_empty() {
                return None;
            }
            tokio::select! {
                () = due => {
                    let (_, _, line) = held.waiting.pop_front()?;
                    return Some((line, held));
                }
                line = held.lines.next(), if !held.ended => match line {
                    Some(line) => held.hold(line),
                    None => held.ended = true,
                },
            }
        }
    })
}

impl<S> Held<S> {
    fn hold(&mut self, line: Line) {
        let object = line.as_ref().ok().and_then(|line| object(line)).unwrap_or_default();
        if let Some(place) = self.waiting.iter_mut().find(|(_, other, _)| self.coalesces && *other == object) {
            place.2 = line;
            return;
        }
        self.waiting.push_back((Instant::now() + self.time, object, line));
    }
}

/// What tells the object of an event from others.
fn object(line: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(line).ok()?;
    Some(event.pointer("/object/metadata/uid").unwrap_or(&event["type"]).to_string())
}
