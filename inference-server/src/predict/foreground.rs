//! Whether requests are using the engine, so that jobs can hold back.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// For so long after the last text of a request more are expected: callers that send one request
/// after the other are silent for a moment in between.
const LINGER: Duration = Duration::from_millis(50);

/// Counts the texts of requests that are with the engine.
#[derive(Debug)]
pub struct Foreground {
    start: Instant,
    texts: AtomicUsize,
    /// Microseconds from `start` to when the last text left; 0 when none was there.
    last_left: AtomicU64,
}

/// A text of a request that is with the engine; it has left when this is dropped.
#[derive(Debug)]
pub struct ForegroundText<'a>(&'a Foreground);

impl Foreground {
    /// No text yet.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now(), texts: AtomicUsize::new(0), last_left: AtomicU64::new(0) }
    }

    /// Counts a text until the returned value is dropped.
    pub fn enter(&self) -> ForegroundText<'_> {
        self.texts.fetch_add(1, Ordering::Relaxed);
        ForegroundText(self)
    }

    /// Whether texts of requests are with the engine, or were a moment before `now`.
    #[must_use]
    pub fn is_active(&self, now: Instant) -> bool {
        if self.texts.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let last_left = Duration::from_micros(self.last_left.load(Ordering::Relaxed));
        !last_left.is_zero() && now.saturating_duration_since(self.start) < last_left + LINGER
    }
}

impl Default for Foreground {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ForegroundText<'_> {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.last_left.fetch_max(now.max(1), Ordering::Relaxed);
        self.0.texts.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_from_the_first_text_until_a_moment_after_the_last() {
        let foreground = Foreground::new();
        let later = || Instant::now() + Duration::from_hours(1);
        assert!(!foreground.is_active(Instant::now()));
        let (first, second) = (foreground.enter(), foreground.enter());
        drop(first);
        assert!(foreground.is_active(later()), "one is still there");
        drop(second);
        assert!(foreground.is_active(foreground.start + LINGER));
        assert!(!foreground.is_active(later()));
    }
}
