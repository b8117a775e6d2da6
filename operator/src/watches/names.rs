//! Texts that many objects have in common are kept once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use crate::lock::lock;

/// Below this many there is nothing to gain by looking for those that nobody uses any more.
const FEW: usize = 1024;

/// The texts that are in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    texts: HashSet<Arc<str>>,
    /// How many there may be before those that nobody uses are dropped.
    room: usize,
}

impl Names {
    /// The text, shared with all who have it.
    #[must_use]
    pub fn get(&self, text: &str) -> Arc<str> {
        let mut known = lock(&self.0);
        if let Some(found) = known.texts.get(text) {
            return found.clone();
        }
        if known.texts.len() >= known.room.max(FEW) {
            known.texts.retain(|text| Arc::strong_count(text) > 1);
            known.texts.shrink_to_fit();
            known.room = known.texts.len() * 2;
        }
        let made: Arc<str> = text.into();
        known.texts.insert(made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let names = Names::default();
        assert!(Arc::ptr_eq(&names.get("reviews"), &names.get("reviews")));
    }

    #[test]
    fn texts_that_nobody_uses_are_dropped() {
        let names = Names::default();
        let used = names.get("used");
        for number in 0..10 * FEW {
            drop(names.get(&number.to_string()));
        }
        assert!(lock(&names.0).texts.len() <= 2 * FEW);
        assert!(Arc::ptr_eq(&names.get("used"), &used));
    }
}
