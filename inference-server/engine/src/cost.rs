//! What a run of the model takes, so that the queue knows how long its texts will wait.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Time of one thread for a run, measured when the model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of a run, whatever is in it.
    pub run: Duration,
    /// Of each token, padding included.
    pub token: Duration,
}

impl Cost {
    /// Bounds of what [`Self::between`] believes: a measurement beside other work of the machine may be far off.
    const LEAST_TOKEN: Duration = Duration::from_micros(1);

    /// The cost of which two runs, each of so many tokens, took so long. The second is the longer one.
    #[must_use]
    pub fn between((few, short): (usize, Duration), (many, long): (usize, Duration)) -> Self {
        let tokens = u32::try_from(many.saturating_sub(few)).unwrap_or(u32::MAX).max(1);
        let most = long / u32::try_from(many).unwrap_or(u32::MAX).max(1);
        let token = (long.saturating_sub(short) / tokens).clamp(Self::LEAST_TOKEN, most.max(Self::LEAST_TOKEN));
        let run = short.saturating_sub(token * u32::try_from(few).unwrap_or(u32::MAX));
        Self { run, token }
    }

    /// Of a text that runs alone.
    #[must_use]
    pub fn of(self, tokens: usize) -> Duration {
        self.run + self.token.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    /// The run's own part, in tokens: less padding than this is better than another run.
    #[must_use]
    pub fn run_in_tokens(self) -> usize {
        let tokens = self.run.as_nanos() / self.token.max(Self::LEAST_TOKEN).as_nanos();
        usize::try_from(tokens).unwrap_or(usize::MAX).clamp(1, 64)
    }
}

/// How much longer runs take now than by their texts' costs: texts that share a run share its own part, and runs
/// share the CPU with others. A moving mean over the latest runs.
#[derive(Debug)]
pub(crate) struct Slowness(AtomicU32);

/// Weight of the latest run.
const LATEST: f32 = 0.2;

/// One run can't say more than so many times what was known: the machine may have stood still.
const MOST: f32 = 4.0;

impl Default for Slowness {
    fn default() -> Self {
        Self(AtomicU32::new(1.0_f32.to_bits()))
    }
}

impl Slowness {
    /// Notes a run of texts of this cost.
    pub(crate) fn observe(&self, cost: Duration, took: Duration) {
        let ratio = took.as_secs_f32() / cost.as_secs_f32().max(1e-6);
        let known = self.ratio();
        let mean = known * (1.0 - LATEST) + ratio.min(known * MOST) * LATEST;
        // Two runs that end at once may lose one of them, which doesn't matter to a mean.
        self.0.store(mean.to_bits(), Ordering::Relaxed);
    }

    /// What is to be expected of texts of this cost.
    pub(crate) fn stretch(&self, cost: Duration) -> Duration {
        cost.mul_f32(self.ratio())
    }

    fn ratio(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn two_runs_tell_the_cost_of_a_run_and_of_a_token() {
        let cost = Cost::between((5, ms(3)), (105, ms(23)));
        assert_eq!(cost, Cost { run: ms(2), token: Duration::from_micros(200) });
        assert_eq!((cost.of(0), cost.of(400)), (ms(2), ms(82)));
        assert_eq!(cost.run_in_tokens(), 10);
    }

    #[test]
    fn a_measurement_that_was_disturbed_gives_a_cost_all_the_same() {
        for (short, long) in [(ms(50), ms(20)), (ms(20), ms(20)), (ms(0), ms(0)), (ms(0), ms(90_000))] {
            let cost = Cost::between((5, short), (105, long));
            assert!(cost.token >= Cost::LEAST_TOKEN && cost.run <= short, "{cost:?}");
            assert!(cost.of(105) <= long + short + ms(1), "{cost:?}");
            assert!((1..=64).contains(&cost.run_in_tokens()));
        }
        assert!(Cost::between((5, ms(1)), (5, ms(1))).of(usize::MAX) > ms(1));
    }

    #[test]
    fn what_is_expected_follows_the_runs() {
        let slowness = Slowness::default();
        assert_eq!(slowness.stretch(ms(10)), ms(10));
        for _ in 0..100 {
            slowness.observe(ms(10), ms(20));
        }
        let expected = slowness.stretch(ms(10));
        assert!(expected > ms(19) && expected <= ms(21), "{expected:?}");
        // The machine stood still once.
        slowness.observe(ms(10), Duration::from_hours(1));
        assert!(slowness.stretch(ms(10)) < ms(40));
    }
}
