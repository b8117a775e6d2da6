//! What a connection is doing, for its own time-outs and for whoever needs its place.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
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
    /// It is answered, and its client doesn't take all of the response at once.
    Response = 3,
}

/// How far the response to the latest request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A handler is at work on it.
    Awaited = 0,
    /// It has a head, and parts of its body may follow.
    Begun = 1,
    /// No part will follow. What there is may still wait to be sent.
    Whole = 2,
}

/// The phase of one connection. Its task writes it, the accept loop reads it.
#[derive(Debug)]
pub(super) struct Activity {
    /// All connections count from the same moment, so that the accept loop can compare them.
    origin: Instant,
    /// Microseconds from `origin` to the phase's start, above two bits that are the phase.
    packed: AtomicU64,
    answer: AtomicU8,
    /// Bytes were given to the socket since it was last known to have taken all.
    unsent: AtomicBool,
    /// Hyper hasn't used up what came last.
    unused: AtomicBool,
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
            answer: AtomicU8::new(Answer::Whole as u8),
            unsent: AtomicBool::new(false),
            unused: AtomicBool::new(false),
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

    /// The phase, and when it began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let packed = self.packed.load(Ordering::Relaxed);
        let phase = match packed & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Request,
            _ => Phase::Response,
        };
        (phase, self.origin + Duration::from_micros(packed >> 2))
    }

    /// A head is complete.
    pub(super) fn request_begins(&self) {
        self.answer.store(Answer::Awaited as u8, Ordering::Relaxed);
        self.enter(Phase::Request);
    }

    /// The response has a head.
    pub(super) fn response_begins(&self) {
        self.answer.store(Answer::Begun as u8, Ordering::Relaxed);
    }

    /// No part of the response will follow.
    pub(super) fn response_is_whole(&self) {
        self.answer.store(Answer::Whole as u8, Ordering::Relaxed);
    }

    /// Bytes have come: a new head, if nothing was going on.
    pub(super) fn bytes_came(&self) {
        self.unused.store(true, Ordering::Relaxed);
        if self.phase().0 == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// No more bytes have come. While a request is being answered hyper asks for more only when it has
    /// used up what it has, to learn whether the client is still there.
    pub(super) fn nothing_came(&self) {
        self.unused.store(false, Ordering::Relaxed);
    }

    /// Bytes are given to the socket.
    pub(super) fn writes(&self) {
        self.unsent.store(true, Ordering::Relaxed);
    }

    /// The socket takes no bytes for now.
    pub(super) fn write_waits(&self) {
        let begun = self.answer.load(Ordering::Relaxed) != Answer::Awaited as u8;
        if begun && self.phase().0 == Phase::Request {
            self.enter(Phase::Response);
        }
    }

    /// The socket has taken all that there was to send. This ends the request if its response is whole;
    /// what has come since is the next one's, whose time begins now.
    pub(super) fn all_sent(&self) {
        self.unsent.store(false, Ordering::Relaxed);
        let whole = self.answer.load(Ordering::Relaxed) == Answer::Whole as u8;
        if whole && matches!(self.phase().0, Phase::Request | Phase::Response) {
            self.enter(if self.unused.load(Ordering::Relaxed) { Phase::Head } else { Phase::Idle });
        }
    }

    /// Whether a refusal can be written to the socket: a head is on the way, and the client has been
    /// sent every byte of what came before. Hyper refuses some heads by itself, so that the phase alone
    /// doesn't say so.
    pub(super) fn can_be_refused(&self) -> bool {
        self.phase().0 == Phase::Head && !self.unsent.load(Ordering::Relaxed)
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
        let unread = self.unread_body.load(Ordering::Relaxed) || self.unused.load(Ordering::Relaxed);
        unread && !self.peer_closed.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn phase_after(steps: &[fn(&Activity)]) -> Phase {
        let activity = Activity::new(Instant::now());
        for step in steps {
            step(&activity);
        }
        activity.phase().0
    }

    const BEGUN: fn(&Activity) = |activity| {
        activity.bytes_came();
        activity.request_begins();
        activity.nothing_came();
    };
    const MADE: fn(&Activity) = |activity| {
        activity.response_begins();
        activity.response_is_whole();
        activity.writes();
    };

    #[tokio::test]
    async fn a_request_ends_when_its_response_is_whole_and_sent() {
        assert_eq!(phase_after(&[BEGUN, Activity::all_sent]), Phase::Request);
        assert_eq!(
            phase_after(&[BEGUN, Activity::response_begins, Activity::writes, Activity::all_sent]),
            Phase::Request
        );
        assert_eq!(phase_after(&[BEGUN, MADE]), Phase::Request);
        assert_eq!(phase_after(&[BEGUN, MADE, Activity::write_waits]), Phase::Response);
        assert_eq!(phase_after(&[BEGUN, MADE, Activity::write_waits, Activity::all_sent]), Phase::Idle);
        assert_eq!(phase_after(&[BEGUN, MADE, Activity::all_sent]), Phase::Idle);
        // The next one was begun before the socket had taken this one's response.
        assert_eq!(phase_after(&[BEGUN, MADE, BEGUN, Activity::all_sent]), Phase::Request);
        assert_eq!(phase_after(&[BEGUN, MADE, BEGUN, Activity::write_waits]), Phase::Request);
    }

    #[tokio::test]
    async fn what_comes_during_a_request_and_is_not_its_own_is_a_head_of_which_the_time_begins_later() {
        assert_eq!(phase_after(&[BEGUN, Activity::bytes_came, MADE, Activity::write_waits]), Phase::Response);
        assert_eq!(phase_after(&[BEGUN, Activity::bytes_came, MADE, Activity::all_sent]), Phase::Head);
        assert_eq!(phase_after(&[BEGUN, MADE, Activity::bytes_came, Activity::all_sent]), Phase::Head);
        // It came in one piece with the request.
        assert_eq!(
            phase_after(&[Activity::bytes_came, Activity::request_begins, MADE, Activity::all_sent]),
            Phase::Head
        );
        // The request's own body.
        let steps = [BEGUN, Activity::bytes_came, Activity::nothing_came, MADE, Activity::all_sent];
        assert_eq!(phase_after(&steps), Phase::Idle);
    }

    #[tokio::test]
    async fn a_head_can_be_refused_unless_hyper_does_so_itself() {
        let activity = Activity::new(Instant::now());
        assert!(activity.can_be_refused());
        activity.writes();
        activity.write_waits();
        assert_eq!((activity.phase().0, activity.can_be_refused()), (Phase::Head, false));
        activity.all_sent();
        assert!(activity.can_be_refused());
        activity.request_begins();
        assert!(!activity.can_be_refused());
    }
}
