//! How long to wait before an object that failed is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
/// What the API server refuses for its content may stay refused for long.
pub const LONGEST: Duration = Duration::from_mins(5);
/// One that doesn't answer or is overloaded comes back all at once, and nothing tells of it.
pub const LONGEST_UNANSWERED: Duration = Duration::from_mins(1);

/// Doubles with each failure in a row up to `longest`. The jitter of a fifth either way keeps
/// objects that failed together from coming back together.
#[must_use]
pub fn delay(failures: u32, jitter: f64, longest: Duration) -> Duration {
    let exponent = failures.saturating_sub(1).min(16);
    let plain = FIRST.saturating_mul(1 << exponent).min(longest);
    plain.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit() {
        let seconds = |failures| delay(failures, 0.5, LONGEST).as_secs_f64();
        assert!((seconds(1) - 0.5).abs() < 1e-9);
        assert!((seconds(2) - 1.0).abs() < 1e-9);
        assert!((seconds(5) - 8.0).abs() < 1e-9);
        assert!((seconds(u32::MAX) - 300.0).abs() < 1e-9);
        assert_eq!(delay(u32::MAX, 0.5, LONGEST_UNANSWERED), LONGEST_UNANSWERED);
    }

    #[test]
    fn jitter_spreads_by_a_fifth() {
        assert_eq!(delay(1, 0.0, LONGEST), Duration::from_millis(400));
        assert_eq!(delay(1, 1.0, LONGEST), Duration::from_millis(600));
    }
}
