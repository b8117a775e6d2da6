//! How far two samples are apart: the population stability index and the Kolmogorov-Smirnov test.
//! Pure functions; `tests/fixtures/drift.py` records what numpy and scipy say.

use std::f64::consts::PI;

/// Bins of a numeric feature, by the baseline's deciles, as is the custom for this index.
const BINS: usize = 10;

/// Least share of a bin. An empty bin would make the index infinite.
const LEAST_SHARE: f64 = 1e-4;

/// A baseline sample, ready to be compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
    /// Inner edges of the bins, ascending, each once. A value equal to an edge is above it.
    edges: Vec<f64>,
    counts: Vec<usize>,
}

impl Sample {
    /// Takes values in any order; there is at least one, and none is NaN.
    #[must_use]
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let mut edges: Vec<f64> = (1..BINS).map(|edge| quantile(&values, edge, BINS)).collect();
        // Where many values are equal, so are edges; together they make one wider bin.
        edges.dedup();
        let counts = counts(&values, &edges);
        Self { sorted: values, edges, counts }
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether it has no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The population stability index of other values, sorted, against this sample.
    #[must_use]
    pub fn stability_index(&self, sorted: &[f64]) -> f64 {
        stability_index(&self.counts, &counts(sorted, &self.edges))
    }

    /// The two-sample Kolmogorov-Smirnov statistic of other values, sorted: the largest difference
    /// between the shares of values up to any point, 0 to 1.
    #[must_use]
    pub fn ks_statistic(&self, sorted: &[f64]) -> f64 {
        let (mut own, mut other, mut furthest) = (0, 0, 0.0_f64);
        while own < self.sorted.len() && other < sorted.len() {
            let point = self.sorted[own].min(sorted[other]);
            own += self.sorted[own..].iter().take_while(|value| **value <= point).count();
            other += sorted[other..].iter().take_while(|value| **value <= point).count();
            furthest = furthest.max((share(own, self.sorted.len()) - share(other, sorted.len())).abs());
        }
        furthest
    }

    /// How probable a statistic of at least this is when both samples come from one distribution:
    /// Kolmogorov's limit, which the samples here are large enough for. Ties make it too large, never
    /// too small.
    #[must_use]
    pub fn ks_p_value(&self, statistic: f64, other_len: usize) -> f64 {
        let (own, other) = (to_f64(self.len()), to_f64(other_len));
        kolmogorov(statistic * (own * other / (own + other)).sqrt())
    }
}

/// The population stability index: the sum over the bins of `(other − own) · ln(other / own)`, where
/// these are a bin's shares of the values. Symmetric, 0 for equal shares. Both lists count the same bins.
#[must_use]
pub fn stability_index(own: &[usize], other: &[usize]) -> f64 {
    let (own_total, other_total) = (own.iter().sum(), other.iter().sum());
    let difference = |(own, other): (&usize, &usize)| {
        let own = share(*own, own_total).max(LEAST_SHARE);
        let other = share(*other, other_total).max(LEAST_SHARE);
        (other - own) * (other / own).ln()
    };
    own.iter().zip(other).map(difference).sum()
}

/// Survival function of Kolmogorov's distribution.
fn kolmogorov(x: f64) -> f64 {
    // Each of the two series needs few terms on its side of 1.
    if x <= 0.0 {
        1.0
    } else if x < 1.0 {
        let factor = -PI * PI / (8.0 * x * x);
        let sum: f64 = [1.0, 3.0, 5.0, 7.0].iter().map(|odd| (factor * odd * odd).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / x * sum
    } else {
        let term = |k: f64| (-2.0 * k * k * x * x).exp();
        2.0 * (term(1.0) - term(2.0) + term(3.0) - term(4.0) + term(5.0))
    }
}

/// The value at `part / parts` of the way through sorted values, between two of them in proportion.
fn quantile(sorted: &[f64], part: usize, parts: usize) -> f64 {
    let steps = (sorted.len() - 1) * part;
    let (below, rest) = (steps / parts, share(steps % parts, parts));
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * rest
}

fn counts(sorted: &[f64], edges: &[f64]) -> Vec<usize> {
    let ends = edges.iter().map(|edge| sorted.partition_point(|value| value < edge)).chain([sorted.len()]);
    let mut start = 0;
    ends.map(|end| end - std::mem::replace(&mut start, end)).collect()
}

fn share(part: usize, whole: usize) -> f64 {
    to_f64(part) / to_f64(whole)
}

/// Exact for all counts here, which are of at most 10,000 values.
fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
