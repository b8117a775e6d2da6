//! The way back to the caller of a text, of one that runs whole and of one in windows.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{EngineError, Outcome};

/// Where a caller waits.
pub(crate) type Caller = oneshot::Sender<Result<Outcome, EngineError>>;

/// The way back for what was run of a text.
pub(crate) enum Reply {
    /// The whole of it.
    Whole(Caller),
    /// A window of it.
    Window(Arc<Windows>),
}

/// A text's windows that are under way.
pub(crate) struct Windows {
    state: Mutex<State>,
}

struct State {
    /// Taken by the first error, or with the last window.
    caller: Option<Caller>,
    left: usize,
    /// What came so far.
    done: Vec<Outcome>,
}

impl Reply {
    /// The ways back for so many windows of a text, at least one.
    pub(crate) fn of(caller: Caller, windows: usize) -> Vec<Self> {
        if windows <= 1 {
            return vec![Self::Whole(caller)];
        }
        let state = State { caller: Some(caller), left: windows, done: Vec::with_capacity(windows) };
        let shared = Arc::new(Windows { state: Mutex::new(state) });
        (0..windows).map(|_| Self::Window(Arc::clone(&shared))).collect()
    }

    /// Whether nobody waits for it any more: the caller has gone, or another window has failed.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Whole(caller) => caller.is_closed(),
            Self::Window(windows) => windows.is_closed(),
        }
    }

    /// Answers. Should the caller have gone meanwhile, nobody is left to tell.
    pub(crate) fn send(self, outcome: Result<Outcome, EngineError>) {
        match self {
            Self::Whole(caller) => drop(caller.send(outcome)),
            Self::Window(windows) => windows.add(outcome),
        }
    }
}

impl Windows {
    fn is_closed(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.caller.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn add(&self, outcome: Result<Outcome, EngineError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match outcome {
            Ok(outcome) => match state.add(outcome) {
                Some(whole) => Ok(whole),
                None => return,
            },
            Err(error) => Err(error),
        };
        if let Some(caller) = state.caller.take() {
            drop(caller.send(answer));
        }
    }
}

impl State {
    /// Adds a window. The outcome of the whole text when it was the last.
    fn add(&mut self, outcome: Outcome) -> Option<Outcome> {
        self.done.push(outcome);
        self.left -= 1;
        if self.left > 0 {
            return None;
        }
        let logits = join(self.done.iter().map(|window| (window.logits.as_slice(), window.timeline.tokens)));
        // From the start of the first run to the end of the last one.
        self.done
            .drain(..)
            .reduce(|mut whole, window| {
                whole.inference += window.inference;
                whole.timeline.run = whole.timeline.run.min(window.timeline.run);
                whole.timeline.done = whole.timeline.done.max(window.timeline.done);
                whole.timeline.tokens += window.timeline.tokens;
                whole
            })
            .map(|whole| Outcome { logits, ..whole })
    }
}

/// The logits of a text of those of its windows, each with its number of tokens: their mean, in which a window counts
/// by its tokens. Those of a single one are as they are, to the last bit.
pub fn join<'a>(windows: impl Iterator<Item = (&'a [f32], usize)>) -> Vec<f32> {
    let (mut mean, mut all) = (Vec::new(), 0.0);
    for (logits, tokens) in windows {
        let weight = f32::from(u16::try_from(tokens).unwrap_or(u16::MAX));
        all += weight;
        if mean.is_empty() {
            mean = logits.to_vec();
            continue;
        }
        for (mean, logit) in mean.iter_mut().zip(logits) {
            *mean += (logit - *mean) * (weight / all);
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{super::Timeline, *};

    fn outcome(logits: &[f32], tokens: usize) -> Outcome {
        let now = Instant::now();
        let timeline = Timeline { tokenizing: now, queued: now, run: now, done: now, tokens, batch_size: 1 };
        Outcome { logits: logits.to_vec(), truncated: false, inference: Duration::from_millis(5), timeline }
    }

    #[test]
    fn windows_count_by_their_tokens() {
        let (caller, mut answer) = oneshot::channel();
        let mut replies = Reply::of(caller, 2).into_iter();
        replies.next().unwrap().send(Ok(outcome(&[1.0, -1.0], 30)));
        answer.try_recv().unwrap_err();
        replies.next().unwrap().send(Ok(outcome(&[5.0, 3.0], 10)));
        let whole = answer.try_recv().unwrap().unwrap();
        assert_eq!((whole.logits, whole.timeline.tokens), (vec![2.0, 0.0], 40));
        assert_eq!(whole.inference, Duration::from_millis(10));
    }

    #[test]
    fn a_single_window_keeps_its_logits_to_the_last_bit() {
        for tokens in 1..600 {
            let logits = [0.1, -1.7, 3.3].map(|logit| logit / 7.0);
            assert_eq!(join(std::iter::once((&logits[..], tokens))), logits);
        }
    }

    #[test]
    fn the_first_error_is_the_answer_and_the_rest_is_of_no_use() {
        let (caller, mut answer) = oneshot::channel();
        let replies = Reply::of(caller, 3);
        assert!(replies.iter().all(|reply| !reply.is_closed()));
        let mut replies = replies.into_iter();
        replies.next().unwrap().send(Err(EngineError::Expired));
        assert_eq!(answer.try_recv().unwrap(), Err(EngineError::Expired));
        let rest: Vec<Reply> = replies.collect();
        assert!(rest.iter().all(Reply::is_closed));
        for reply in rest {
            reply.send(Ok(outcome(&[1.0], 1)));
        }
    }
}
