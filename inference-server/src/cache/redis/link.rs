//! The one connection to Redis, and the breaker: while Redis fails there is none, so that nobody
//! waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::{Notify, watch};

/// Failures in a row that open the breaker.
const MOST_FAILURES: u32 = 3;

/// A connection in use; `C` is what takes requests.
#[derive(Clone)]
pub(super) struct Connection<C> {
    pub(super) requests: C,
    number: u64,
    failures: Arc<AtomicU32>,
}

enum State<C> {
    Up(Connection<C>),
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
pub(super) struct Link<C> {
    state: watch::Sender<State<C>>,
    renewal: Notify,
}

impl<C: Clone> Link<C> {
    /// No connection yet.
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(State::Down("not connected yet".into())), renewal: Notify::new() }
    }

    /// The connection, unless the breaker is open.
    pub(super) fn connection(&self) -> Option<Connection<C>> {
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
    pub(super) fn up(&self, requests: C, number: u64) {
        self.state.send_replace(State::Up(Connection { requests, number, failures: Arc::default() }));
    }

    /// Opens the breaker.
    pub(super) fn down(&self, problem: impl Into<Arc<str>>) {
        self.state.send_replace(State::Down(problem.into()));
    }

    /// Notes a reply.
    pub(super) fn succeeded(connection: &Connection<C>) {
        // Read first: nearly always there is nothing to write, and many threads look.
        if connection.failures.load(Ordering::Relaxed) > 0 {
            connection.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure, which opens the breaker when it is one of several in a row. The failure of a
    /// connection that has been given up already says nothing about the one in use.
    pub(super) fn failed(&self, connection: &Connection<C>, problem: &str) {
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

    /// Waits until there is a connection.
    #[cfg(test)]
    pub(super) async fn came_up(&self) {
        drop(self.state.subscribe().wait_for(|state| matches!(state, State::Up(_))).await.unwrap());
    }

    /// Waits until there is none for this reason.
    #[cfg(test)]
    pub(super) async fn came_down(&self, reason: &str) {
        let is_down = |state: &State<C>| matches!(state, State::Down(problem) if **problem == *reason);
        drop(self.state.subscribe().wait_for(is_down).await.unwrap());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn up(number: u64) -> (Link<u64>, Connection<u64>) {
        let link = Link::new();
        assert_eq!(link.problem().as_deref(), Some("not connected yet"));
        link.up(number, number);
        let connection = link.connection().unwrap();
        (link, connection)
    }

    #[test]
    fn failures_in_a_row_open_the_breaker() {
        let (link, connection) = up(1);
        for _ in 0..10 {
            link.failed(&connection, "one");
            link.failed(&connection, "two");
            Link::succeeded(&connection);
        }
        assert!(link.is_up() && link.problem().is_none());
        for problem in ["one", "two", "three", "four"] {
            link.failed(&connection, problem);
        }
        assert!(!link.is_up() && link.connection().is_none());
        assert_eq!(link.problem().as_deref(), Some("three"));
    }

    #[test]
    fn a_connection_that_was_given_up_says_nothing_about_the_next() {
        let (link, first) = up(1);
        link.failed(&first, "one");
        link.failed(&first, "two");
        link.up(2, 2);
        for _ in 0..10 {
            link.failed(&first, "late");
        }
        assert_eq!(link.connection().unwrap().requests, 2);
    }

    #[tokio::test]
    async fn the_end_is_seen_whether_it_came_before_or_after() {
        let (link, connection) = up(1);
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, link.ended()).await.is_err());
        link.renew();
        assert_eq!(link.ended().await, End::Renew);
        let ((), end) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                (0..MOST_FAILURES).for_each(|_| link.failed(&connection, "gone"));
            },
            link.ended()
        );
        assert_eq!(end, End::Lost("gone".into()));
        assert_eq!(link.ended().await, End::Lost("gone".into()));
    }
}
