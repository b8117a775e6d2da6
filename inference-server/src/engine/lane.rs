//! Short and long texts have workers of their own.
//!
//! A run of the model can't be interrupted, and one with a long text takes as long as thirty with
//! a short one. Short texts that had to wait for it would all be late. So each lane has as many
//! workers as there are CPUs, and the long lane's have a lower priority: the kernel takes the CPU
//! from a long run for as long as short texts need it. By its weights a long run keeps about a
//! tenth of a CPU even then, so that long texts never stand still.

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

    /// Name of its threads.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Short => "inference",
            Self::Long => "inference-long",
        }
    }

    /// How far its workers stand back, as nice(1) counts it. Each step is worth about a quarter of
    /// the CPU time. The kernel's weights are 335 and 36, against 1024 of the threads that read,
    /// refuse and answer requests: those need little, and need it at once.
    pub(super) fn nice(self) -> i32 {
        match self {
            Self::Short => 5,
            Self::Long => 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_by_their_tokens() {
        let lanes = [0, 1, 64, 65, 512].map(Lane::of);
        assert_eq!(lanes, [Lane::Short, Lane::Short, Lane::Short, Lane::Long, Lane::Long]);
    }
}
