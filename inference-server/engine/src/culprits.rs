//! Texts that the model has failed on, while it ran the rest of their batch. Run again they would fail the next batch
//! too, and each of those costs the work of several.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Tokens;

/// Texts that are remembered.
const MOST: usize = 256;

/// How long a text is refused without another run. A failure may also be of the moment, such as want of memory.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The latest texts that have failed alone.
#[derive(Default)]
pub(crate) struct Culprits {
    hasher: RandomState,
    any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By the hash of their tokens: when, and the model's sentence.
    sentences: HashMap<u64, (Instant, String)>,
    /// Oldest first.
    order: VecDeque<u64>,
}

impl Culprits {
    /// Remembers a text and what the model said.
    pub(crate) fn add(&self, tokens: &Tokens, sentence: &str, now: Instant) {
        let hash = self.hash(tokens);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.sentences.insert(hash, (now, sentence.to_owned())).is_none() {
            known.order.push_back(hash);
        }
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.sentences.remove(&oldest);
        }
        self.any.store(true, Ordering::Relaxed);
    }

    /// What the model said to these tokens, if that was a short time ago.
    pub(crate) fn find(&self, tokens: &Tokens, now: Instant) -> Option<String> {
        // Nearly always there is none.
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let hash = self.hash(tokens);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, sentence) = known.sentences.get(&hash)?;
        if now.saturating_duration_since(*since) < REMEMBERED {
            return Some(sentence.clone());
        }
        known.sentences.remove(&hash);
        known.order.retain(|other| *other != hash);
        None
    }

    fn hash(&self, tokens: &Tokens) -> u64 {
        self.hasher.hash_one((&tokens.ids, &tokens.type_ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(id: u32) -> Tokens {
        Tokens { ids: vec![id], type_ids: None }
    }

    #[test]
    fn a_text_is_remembered_for_a_time_and_many_are_bounded() {
        let (culprits, start) = (Culprits::default(), Instant::now());
        assert_eq!(culprits.find(&tokens(7), start), None);
        culprits.add(&tokens(7), "out of bounds", start);
        assert_eq!(culprits.find(&tokens(7), start).as_deref(), Some("out of bounds"));
        assert_eq!(culprits.find(&tokens(8), start), None);
        assert_eq!(culprits.find(&tokens(7), start + REMEMBERED), None);

        let count = u32::try_from(MOST).unwrap() + 10;
        (0..count).for_each(|id| culprits.add(&tokens(id), "no", start));
        assert!(culprits.find(&tokens(9), start).is_none() && culprits.find(&tokens(10), start).is_some());
        let known = culprits.known.lock().unwrap();
        assert_eq!((known.sentences.len(), known.order.len()), (MOST, MOST));
    }
}
