//! How far it is, in the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

/// Between log lines.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Bytes so far, and in all as far as that is known.
#[derive(Debug, Default)]
pub struct Progress {
    fetched: AtomicU64,
    found: AtomicU64,
    expected: AtomicU64,
    unpacked: AtomicU64,
}

impl Progress {
    /// Bytes that came from the network just now.
    pub fn fetched(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Relaxed);
    }

    /// Bytes that an earlier start had fetched.
    pub fn found(&self, bytes: u64) {
        self.found.fetch_add(bytes, Relaxed);
    }

    /// Bytes that have to be fetched once more.
    pub fn lost(&self, bytes: u64) {
        let found = self.found.load(Relaxed).min(bytes);
        self.found.fetch_sub(found, Relaxed);
        self.expected.fetch_add(bytes - found, Relaxed);
    }

    /// Bytes that are to be there in the end.
    pub fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Relaxed);
    }

    /// Bytes that came out of an archive.
    pub fn unpacked(&self, bytes: u64) {
        self.unpacked.fetch_add(bytes, Relaxed);
    }

    /// Bytes that came from the network.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.fetched.load(Relaxed)
    }

    /// Tells of it every few seconds, until the teller is dropped.
    #[must_use]
    pub fn tell(self: &Arc<Self>) -> Teller {
        let progress = Arc::clone(self);
        Teller(tokio::spawn(async move {
            let mut before = (Instant::now(), 0);
            loop {
                tokio::time::sleep(TELL_AGAIN).await;
                let (now, fetched) = (Instant::now(), progress.bytes());
                let bytes_per_second = rate(fetched - before.1, now - before.0);
                before = (now, fetched);
                let bytes = fetched + progress.found.load(Relaxed);
                let of = progress.expected.load(Relaxed);
                let unpacked = progress.unpacked.load(Relaxed);
                if unpacked > 0 {
                    tracing::info!(bytes, unpacked, "unpacking");
                } else if let Some(percent) = bytes.saturating_mul(100).checked_div(of) {
                    let percent = percent.min(100);
                    tracing::info!(bytes, of, percent, bytes_per_second, "fetching");
                } else {
                    tracing::info!(bytes, bytes_per_second, "fetching");
                }
            }
        }))
    }
}

/// Bytes a second.
#[must_use]
pub fn rate(bytes: u64, within: Duration) -> u64 {
    let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / milliseconds
}

/// Tells of progress for as long as it lives.
#[derive(Debug)]
pub struct Teller(JoinHandle<()>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.abort();
    }
}
