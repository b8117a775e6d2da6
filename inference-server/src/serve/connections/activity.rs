//! What a connection is doing, for its own time-outs and for whoever needs its place.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Where a connection is between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of the next request has come.
    Idle = 0,
    /// Its head is on the way. A new connection begins here.
    Head = 1,
    /// It is being answered.
    Request = 2,
}

/// The phase of one connection. Its task writes it, the accept loop reads it.
#[derive(Debug)]
pub(super) struct Activity {
    /// All connections count from the same moment, so that the accept loop can compare them.
    origin: Instant,
    /// Microseconds from `origin` to the phase's start, above two bits that are the phase.
    packed: AtomicU64,
    peer_closed: AtomicBool,
    unread_body: AtomicBool,
    leave: Notify,
}

impl Activity {
    /// Of a connection that was accepted just now.
    pub(super) fn new(origin: Instant) -> Self {
        let activity = Self {
            origin,
            packed: AtomicU64::new(0),
            peer_closed: AtomicBool::new(false),
            unread_body: AtomicBool::new(false),
            leave: Notify::new(),
        };
        activity.enter(Phase::Head);
        activity
    }

    /// Begins a phase.
    pub(super) fn enter(&self, phase: Phase) {
        let micros = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX >> 2);
        self.packed.store(micros << 2 | phase as u64, Ordering::Relaxed);
    }

    /// Bytes have come: a new head, if nothing was going on.
    pub(super) fn bytes_came(&self) {
        if self.phase().0 == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The phase, and when it began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let packed = self.packed.load(Ordering::Relaxed);
        let phase = match packed & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Request,
        };
        (phase, self.origin + Duration::from_micros(packed >> 2))
    }

    /// The client will send no more.
    pub(super) fn peer_closed(&self) {
        self.peer_closed.store(true, Ordering::Relaxed);
    }

    /// The response was made before the body had come whole.
    pub(super) fn left_body_unread(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    /// Whether closing at once would meet bytes in flight, which the kernel answers with a reset
    /// that can take the response from under the client.
    pub(super) fn has_to_linger(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed) && !self.peer_closed.load(Ordering::Relaxed)
    }

    /// Asks the connection to make place.
    pub(super) fn ask_to_leave(&self) {
        self.leave.notify_one();
    }

    /// Waits until the connection is asked to make place.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}
