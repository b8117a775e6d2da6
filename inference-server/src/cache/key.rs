//! Keys of texts in memory. All have one size, so that what a kept answer costs doesn't depend on how long its text is.

use std::hash::{BuildHasher, Hasher, RandomState};

use engine::Input;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Stands for a text.
pub(super) type Key = u128;

/// Between two texts: a byte that is in none.
pub(super) const BETWEEN: u8 = 0xff;

/// Makes the keys of one process: 128 bits of `SipHash` under a secret of its own. Among a million texts two share a key by
/// chance once in 10²⁶ processes, and who sends texts can't look for such two, as no key ever leaves the process. SHA-256,
/// which needs no secret, costs four times as much for a short text, and three times as much for a long one.
pub(super) struct Keys(SipHasher13);

impl Keys {
    pub(super) fn new() -> Self {
        // The standard library's own way to the system's random numbers.
        let random = RandomState::new();
        Self(SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)))
    }

    pub(super) fn of(&self, input: &Input<'_>) -> Key {
        let Some(pair) = &input.pair else { return self.0.hash(input.text.as_bytes()).as_u128() };
        let mut hasher = self.0;
        for part in [input.text.as_bytes(), &[BETWEEN], pair.as_bytes()] {
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_own_key_in_each_process() {
        let (keys, others) = (Keys::new(), Keys::new());
        assert_eq!(keys.of(&"a text".into()), keys.of(&"a text".into()));
        assert_ne!(keys.of(&"a text".into()), others.of(&"a text".into()));
        let texts = ["", "\0", "\0\0", "a", "a\0", "A", "a text", &"a".repeat(10_000), &"a".repeat(9_999)];
        let mut all: Vec<Key> = texts.iter().map(|text| keys.of(&(*text).into())).collect();
        let pair =
            |text: &'static str, pair: &'static str| keys.of(&Input { text: text.into(), pair: Some(pair.into()) });
        all.extend([pair("a", ""), pair("", "a"), pair("a", "text"), pair("a text", "")]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), texts.len() + 4);
    }
}
