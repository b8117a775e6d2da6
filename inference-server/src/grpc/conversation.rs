//! What one connection has going on, for whoever watches over it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

/// Told whether an answer is owed on the connection, when that changes.
type Listener = Box<dyn Fn(bool) + Send + Sync>;

/// The calls of one connection.
pub struct Conversation {
    is_crowded: bool,
    stopped: watch::Receiver<bool>,
    listener: Listener,
    state: Mutex<State>,
}

struct State {
    /// Answers that are being made or sent.
    owed: usize,
    /// Calls, those of streams on which nothing happens too.
    open: usize,
    /// When the last call ended.
    idle_since: Instant,
    next: u64,
    /// Since when the client hasn't taken the latest part of a response.
    untaken: BTreeMap<u64, Instant>,
}

/// An answer that is owed until this is dropped.
pub(super) struct Owed(Arc<Conversation>);

/// A call until this is dropped.
pub(super) struct Open {
    id: u64,
    conversation: Arc<Conversation>,
}

impl Conversation {
    /// Of a connection that was accepted just now. A crowded one came when all places were taken.
    #[must_use]
    pub fn new(is_crowded: bool, stopped: watch::Receiver<bool>, listener: Listener) -> Arc<Self> {
        let state = State { owed: 0, open: 0, idle_since: Instant::now(), next: 0, untaken: BTreeMap::new() };
        Arc::new(Self { is_crowded, stopped, listener, state: Mutex::new(state) })
    }

    /// Whether an answer is being made or sent.
    pub fn owes(&self) -> bool {
        self.lock().owed > 0
    }

    /// Since when there is no call, if there is none.
    pub fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.open == 0).then_some(state.idle_since)
    }

    /// Since when the client doesn't take a part of a response, if it doesn't.
    pub fn untaken_since(&self) -> Option<Instant> {
        self.lock().untaken.values().min().copied()
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Ready when the server stops.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.stopped.clone();
        async move {
            // Without a sender nobody is left to serve for.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Notes that an answer is owed.
    pub(super) fn owe(self: &Arc<Self>) -> Owed {
        let mut state = self.lock();
        state.owed += 1;
        if state.owed == 1 {
            (self.listener)(true);
        }
        Owed(Arc::clone(self))
    }

    /// Notes a call.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        let mut state = self.lock();
        state.open += 1;
        state.next += 1;
        Open { id: state.next, conversation: Arc::clone(self) }
    }

    // Each change is whole, so a panic leaves none half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// A part of the response is given out.
    pub(super) fn sends(&self) {
        self.conversation.lock().untaken.insert(self.id, Instant::now());
    }

    /// The client has taken all that was given out.
    pub(super) fn is_taken(&self) {
        self.conversation.lock().untaken.remove(&self.id);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.owed -= 1;
        if state.owed == 0 {
            (self.0.listener)(false);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.conversation.lock();
        state.untaken.remove(&self.id);
        state.open -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_tells_what_is_going_on() {
        let (_stop, stopped) = watch::channel(false);
        let busy = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&busy);
        let listener = Box::new(move |owes| told.store(owes, Ordering::Relaxed));
        let conversation = Conversation::new(false, stopped, listener);
        let begun = Instant::now();
        assert_eq!(conversation.idle_since(), Some(begun));
        let (call, answer) = (conversation.open(), conversation.owe());
        let other = conversation.owe();
        assert!(busy.load(Ordering::Relaxed) && conversation.idle_since().is_none());
        call.sends();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(conversation.untaken_since(), Some(begun));
        call.is_taken();
        assert_eq!(conversation.untaken_since(), None);
        drop((answer, other));
        assert!(!busy.load(Ordering::Relaxed) && !conversation.owes());
        drop(call);
        assert_eq!(conversation.idle_since(), Some(begun + Duration::from_secs(1)));
    }
}
