//! The latest predictions, written by every thread that answers and without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What is kept of a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Probability of the winning label.
    pub score: f32,
    /// Characters of the text, at least 1.
    pub characters: u16,
    /// Index of the label.
    pub label: u16,
}

impl Observation {
    /// In one word, so that it is written and read as a whole. Never 0, since no text is empty.
    fn pack(self) -> u64 {
        u64::from(self.score.to_bits()) << 32 | u64::from(self.characters) << 16 | u64::from(self.label)
    }

    fn unpack(word: u64) -> Self {
        let [a, b, c, d, high, low, first, last] = word.to_be_bytes();
        Self {
            score: f32::from_be_bytes([a, b, c, d]),
            characters: u16::from_be_bytes([high, low]),
            label: u16::from_be_bytes([first, last]),
        }
    }
}

/// A ring of the latest observations.
pub struct Window {
    ring: Box<[AtomicU64]>,
    /// Observations that were ever begun; the next one's place follows from it.
    begun: AtomicUsize,
}

impl Window {
    /// An empty window of `size` observations, at least one.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { ring: (0..size.max(1)).map(|_| AtomicU64::new(0)).collect(), begun: AtomicUsize::new(0) }
    }

    /// Observations that it holds when it is full.
    #[must_use]
    pub fn size(&self) -> usize {
        self.ring.len()
    }

    /// Adds an observation, over the oldest one when the window is full. Says how many came before it.
    ///
    /// Nothing else is published by it, so the order of memory doesn't matter: a reader may see a place
    /// that is taken before its observation, and then sees an older one.
    pub fn push(&self, observation: Observation) -> usize {
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        self.ring[before % self.ring.len()].store(observation.pack(), Ordering::Relaxed);
        before
    }

    /// Number of the observations from the `first`-ever on that are in the window.
    #[must_use]
    pub fn len_since(&self, first: usize) -> usize {
        self.begun.load(Ordering::Relaxed).saturating_sub(first).min(self.ring.len())
    }

    /// The observations from the `first`-ever on that are in the window, oldest first.
    #[must_use]
    pub fn since(&self, first: usize) -> Vec<Observation> {
        let end = self.begun.load(Ordering::Relaxed);
        let start = first.max(end.saturating_sub(self.ring.len()));
        (start..end)
            .map(|number| self.ring[number % self.ring.len()].load(Ordering::Relaxed))
            // A place that was taken for the first time this moment.
            .filter(|word| *word != 0)
            .map(Observation::unpack)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn observation(characters: u16) -> Observation {
        Observation { score: 0.1 + f32::from(characters) / 1e5, characters, label: characters % 3 }
    }

    fn characters(window: &Window, first: usize) -> Vec<u16> {
        window.since(first).into_iter().map(|observation| observation.characters).collect()
    }

    #[test]
    fn an_observation_survives_its_packing() {
        for observation in [
            Observation { score: 1.0, characters: 10_000, label: u16::MAX },
            Observation { score: 0.0, characters: 1, label: 0 },
            Observation { score: 0.963_456_7, characters: 300, label: 258 },
        ] {
            assert_eq!(Observation::unpack(observation.pack()), observation);
        }
    }

    #[test]
    fn the_latest_are_kept_in_order() {
        let window = Window::new(4);
        assert_eq!((characters(&window, 0), window.len_since(0)), (vec![], 0));
        for number in 1..=3 {
            assert_eq!(window.push(observation(number)), usize::from(number) - 1);
        }
        assert_eq!((characters(&window, 0), window.len_since(0)), (vec![1, 2, 3], 3));
        for number in 4..=10 {
            window.push(observation(number));
        }
        assert_eq!((characters(&window, 0), window.len_since(0)), (vec![7, 8, 9, 10], 4));
        assert_eq!((characters(&window, 8), window.len_since(8)), (vec![9, 10], 2));
        assert_eq!((characters(&window, 10), window.len_since(11)), (vec![], 0));
    }

    #[test]
    fn threads_write_at_once_and_no_observation_is_torn() {
        let window = Window::new(100);
        thread::scope(|scope| {
            for start in [1, 2, 3, 4] {
                let window = &window;
                scope.spawn(move || {
                    for number in (start..8000).step_by(4) {
                        window.push(observation(number));
                    }
                });
            }
            for _ in 0..100 {
                for seen in window.since(0) {
                    assert_eq!(seen, observation(seen.characters));
                }
            }
        });
        assert_eq!(window.since(0).len(), 100);
        assert_eq!(window.push(observation(1)), 7999);
    }
}
