//! Short and long texts have workers of their own.
//!
//! A run of the model can't be interrupted, and one with a long text takes as long as thirty with
//! a short one. Short texts that had to wait for it would all be late. So each lane has as many
//! workers as there are CPUs, and the long lane's have a lower priority: the kernel takes the CPU
//! from a long run for as long as short texts need it. By its weights a long run keeps about a
//! tenth of a CPU even then, so that long texts never stand still.

use super::queue::Limits;

/// Which workers run a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Texts of few tokens.
    Short,
    /// All others.
    Long,
}

/// Tokens up to which a text is short: the default model runs it within 10 ms.
const SHORT: usize = 64;

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 2] = [Self::Short, Self::Long];

    /// The lane of a text of so many tokens.
    #[must_use]
    pub fn of(tokens: usize) -> Self {
        if tokens <= SHORT { Self::Short } else { Self::Long }
    }

    /// What bounds its batches on this CPU.
    pub(crate) fn limits(self, limits: Limits) -> Limits {
        self.limits_where(has_vnni(), limits)
    }

    /// The short lane's grow where 8-bit products are fast, so that to read the weights for each run counts:
    /// without VNNI the largest batches do 4% less in their time. The long lane's grow to one and a half of
    /// what is usual only: the texts of a run are answered at once, and what three callers send then comes at
    /// once too, which the short ones among it feel.
    fn limits_where(self, has_vnni: bool, limits: Limits) -> Limits {
        let max_tokens = match self {
            Self::Short if has_vnni => limits.max_tokens,
            Self::Short => limits.usual_tokens,
            Self::Long => limits.max_tokens.min(limits.usual_tokens * 3 / 2),
        };
        Limits { max_tokens, ..limits }
    }

    /// Name of its threads.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Short => "inference",
            Self::Long => "inference-long",
        }
    }

    /// How far its workers stand back, as nice(1) counts it. Each step is worth about a quarter of
    /// the CPU time. The kernel's weights are 335 and 36, against 1024 of the threads that read,
    /// refuse and answer requests: those need little, and need it at once.
    pub(crate) fn nice(self) -> i32 {
        match self {
            Self::Short => 5,
            Self::Long => 15,
        }
    }
}

/// Whether the CPU multiplies and adds 8-bit numbers in one instruction. Others than x86 are taken to.
fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(test)]
mod tests {
    use super::{super::Layout, *};

    #[test]
    fn texts_are_told_apart_by_their_tokens() {
        let lanes = [0, 1, 64, 65, 512].map(Lane::of);
        assert_eq!(lanes, [Lane::Short, Lane::Short, Lane::Short, Lane::Long, Lane::Long]);
    }

    #[test]
    fn batches_grow_where_that_is_faster_and_those_of_the_long_lane_by_half_of_the_usual() {
        let most = |has_vnni, max_tokens| {
            let cost = super::super::queue::tests::COST;
            let limits =
                Limits { layout: Layout::Varlen, usual_tokens: 384, max_tokens, max_size: 32, workers: 2, cost };
            Lane::ALL.map(|lane| lane.limits_where(has_vnni, limits).max_tokens)
        };
        assert_eq!(most(true, 768), [768, 576]);
        assert_eq!(most(false, 768), [384, 576]);
        // That of a model whose batches don't grow.
        assert_eq!(most(true, 384), [384, 384]);
    }
}
