//! The first level: answers in memory, those that are asked for most, and last.

use moka::future::Cache;

use super::{Kept, key::Key};

/// What may be kept in memory. The first bound that is reached holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Answers.
    pub entries: usize,
    /// Bytes.
    pub bytes: usize,
}

/// What an answer costs beside itself: its key, its places in the table and in the lists of what is asked for, and what
/// the C library adds to each block. Measured on x86-64 with glibc as growth of resident memory, with keys of 256 bits:
/// 354 bytes for each of a million answers, and 375 once they had all been replaced four times.
const OVERHEAD: usize = 376;

/// Answers by the keys of their texts.
pub(super) struct Memory(Cache<Key, Kept>);

impl Memory {
    pub(super) fn new(bounds: Bounds) -> Self {
        // The library has one bound. An answer counts as many bytes as it takes, but at least its share of all, and then
        // no more than `entries` of them fit. Where a share is less than any answer takes, the bytes alone are the bound.
        let share = u32::try_from(bounds.bytes / bounds.entries.max(1)).unwrap_or(u32::MAX);
        let (share, capacity) = match share as usize {
            ..=OVERHEAD => (0, bounds.bytes),
            bytes => (share, bytes.saturating_mul(bounds.entries)),
        };
        let weight = move |_: &Key, kept: &Kept| u32::try_from(bytes(kept)).unwrap_or(u32::MAX).max(share);
        Self(Cache::builder().max_capacity(capacity as u64).weigher(weight).build())
    }

    pub(super) async fn find(&self, key: Key) -> Option<Kept> {
        self.0.get(&key).await
    }

    pub(super) async fn keep(&self, key: Key, kept: Kept) {
        self.0.insert(key, kept).await;
    }

    /// Number of answers that are kept now.
    pub(super) async fn entries(&self) -> usize {
        // Without this the count lags behind.
        self.0.run_pending_tasks().await;
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }
}

/// What a block of the heap costs beside what is in it: counts of those who share it, and the C library's own part.
const BLOCK: usize = 32;

/// Memory of an output that is kept.
fn bytes(kept: &Kept) -> usize {
    OVERHEAD + size_of_val(kept) + BLOCK + size_of_val(&*kept.logits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept { logits: [0.5, 1.5].into(), truncated: true }
    }

    async fn kept_of(answers: u32, bounds: Bounds) -> usize {
        let memory = Memory::new(bounds);
        for key in 0..answers {
            memory.keep(key.into(), kept()).await;
        }
        memory.entries().await
    }

    #[tokio::test]
    async fn both_bounds_hold() {
        let one = bytes(&kept());
        let mebibyte = 1 << 20;
        for (entries, bytes, expected) in [
            // By number, exactly.
            (10, mebibyte, 10),
            (1, mebibyte, 1),
            (1, usize::MAX, 1),
            (333, mebibyte, 333),
            (2000, mebibyte, 2000),
            // By bytes.
            (1_000_000, mebibyte, mebibyte / one),
            (usize::MAX, mebibyte, mebibyte / one),
            (1_000_000, 100 * one, 100),
        ] {
            assert_eq!(kept_of(4000, Bounds { entries, bytes }).await, expected, "{entries} answers, {bytes} bytes");
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_found_by_its_key() {
        let memory = Memory::new(Bounds { entries: 10, bytes: 1 << 20 });
        memory.keep(7, kept()).await;
        assert_eq!((memory.find(7).await, memory.find(8).await), (Some(kept()), None));
    }
}
