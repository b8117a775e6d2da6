//! Words of others: bounded, and held once however many objects say the same.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use crate::lock::lock;

/// A condition message is read in a terminal: a sentence is far shorter than this.
pub const LONGEST: usize = 1024;

/// So many words are held before it is looked which of them nobody needs any more.
const FEW: usize = 64;

static POOL: Mutex<Pool> = Mutex::new(Pool { held: BTreeSet::new(), sweep_at: FEW });

struct Pool {
    held: BTreeSet<Arc<str>>,
    sweep_at: usize,
}

/// Words that many objects have in common, such as the name of an image.
#[must_use]
pub fn shared(words: &str) -> Arc<str> {
    let mut pool = lock(&POOL);
    if let Some(held) = pool.held.get(words) {
        return held.clone();
    }
    if pool.held.len() >= pool.sweep_at {
        pool.held.retain(|held| Arc::strong_count(held) > 1);
        pool.sweep_at = (pool.held.len() * 2).max(FEW);
    }
    let new: Arc<str> = words.into();
    pool.held.insert(new.clone());
    new
}

/// The beginning of a text that says first what matters.
#[must_use]
pub fn head(text: &str) -> &str {
    let text = text.trim();
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

/// The end of a text: that is where a program says why it gave up.
#[must_use]
pub fn tail(text: &str) -> &str {
    let text = text.trim();
    text.get(text.ceil_char_boundary(text.len().saturating_sub(LONGEST))..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = format!("ab{}", "é".repeat(1000));
        assert_eq!(head(&text).len(), LONGEST);
        assert_eq!(tail(&text).len(), LONGEST);
        let odd = format!("a{}", "é".repeat(1000));
        assert_eq!((head(&odd).len(), tail(&odd).len()), (LONGEST - 1, LONGEST));
        assert_eq!((head(" short "), tail(" short ")), ("short", "short"));
    }

    #[test]
    fn equal_words_are_one() {
        let image = "registry.example.com/sentiment:of-this-test";
        let (one, two) = (shared(image), shared(image));
        assert!(Arc::ptr_eq(&one, &two));
        drop((one, two));
        for number in 0..10 * FEW {
            drop(shared(&format!("nobody keeps {number}")));
        }
        assert!(lock(&POOL).held.len() <= 3 * FEW, "words that nobody keeps are let go");
    }
}
