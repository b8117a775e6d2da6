//! The one connection to Redis, and the breaker: while Redis fails there is none, so that nobody
//! waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};

/// Failures in a row that open the breaker.
const MOST_FAILURES: u32 = 3;

/// A connection in use.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) requests: MultiplexedConnection,
    number: u64,
    failures: Arc<AtomicU32>,
}

enum State {
    Up(Connection),
    /// Why there is no connection, as a sentence without its full stop.
    Down(Arc<str>),
}

/// Why a connection is given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It failed.
    Lost(Arc<str>),
    /// It works, but another is asked for.
    Renew,
}

/// Whether Redis is asked, and over which connection.
pub(super) struct Link {
    state: watch::Sender<State>,
    renewal: Notify,
}

impl Link {
    /// No connection yet.
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(State::Down("not connected yet".into())), renewal: Notify::new() }
    }

    /// The connection, unless the breaker is open.
    pub(super) fn connection(&self) -> Option<Connection> {
        match &*self.state.borrow() {
            State::Up(connection) => Some(connection.clone()),
            State::Down(_) => None,
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(_))
    }

    /// Why there is no connection; `None` when there is one.
    pub(super) fn problem(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            State::Up(_) => None,
            State::Down(problem) => Some(Arc::clone(problem)),
        }
    }

    /// Closes the breaker. `number` tells this connection from earlier ones.
    pub(super) fn up(&self, requests: MultiplexedConnection, number: u64) {
        self.state.send_replace(State::Up(Connection { requests, number, failures: Arc::default() }));
    }

    /// Opens the breaker.
    pub(super) fn down(&self, problem: impl Into<Arc<str>>) {
        self.state.send_replace(State::Down(problem.into()));
    }

    /// Notes a reply.
    pub(super) fn succeeded(connection: &Connection) {
        // Read first: nearly always there is nothing to write, and many threads look.
        if connection.failures.load(Ordering::Relaxed) > 0 {
            connection.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure, which opens the breaker when it is one of several in a row. The failure of a
    /// connection that has been given up already says nothing about the one in use.
    pub(super) fn failed(&self, connection: &Connection, problem: &str) {
        if connection.failures.fetch_add(1, Ordering::Relaxed) + 1 < MOST_FAILURES {
            return;
        }
        self.state.send_if_modified(|state| match state {
            State::Up(current) if current.number == connection.number => {
                *state = State::Down(problem.into());
                true
            }
            _ => false,
        });
    }

    /// Asks for another connection in place of one that works.
    pub(super) fn renew(&self) {
        self.renewal.notify_one();
    }

    /// Waits until the connection in use has to be given up.
    pub(super) async fn ended(&self) -> End {
        let mut states = self.state.subscribe();
        let down = states.wait_for(|state| matches!(state, State::Down(_)));
        tokio::select! {
            // An error means that the sender is gone, and `self` has it.
            _ = down => End::Lost(self.problem().unwrap_or_else(|| "lost".into())),
            () = self.renewal.notified() => End::Renew,
        }
    }
}
