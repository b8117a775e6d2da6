//! Made-up review sentences, the same in every run.

const WORDS: &[&str] = &[
    "the",
    "a",
    "this",
    "that",
    "my",
    "our",
    "its",
    "lamp",
    "phone",
    "table",
    "film",
    "story",
    "hotel",
    "room",
    "waiter",
    "soup",
    "battery",
    "screen",
    "support",
    "delivery",
    "box",
    "price",
    "colour",
    "cable",
    "driver",
    "manual",
    "engine",
    "garden",
    "is",
    "was",
    "seems",
    "feels",
    "looks",
    "works",
    "broke",
    "arrived",
    "tastes",
    "sounds",
    "helped",
    "failed",
    "great",
    "awful",
    "fine",
    "slow",
    "quick",
    "cheap",
    "solid",
    "flimsy",
    "bright",
    "dull",
    "friendly",
    "rude",
    "fresh",
    "stale",
    "perfect",
    "useless",
    "and",
    "but",
    "so",
    "because",
    "although",
    "with",
    "without",
    "after",
    "before",
    "for",
    "from",
    "very",
    "quite",
    "hardly",
    "never",
    "always",
    "again",
    "today",
    "yesterday",
    "money",
    "time",
    "week",
    "friends",
    "family",
    "nothing",
    "everything",
    "honestly",
    "unfortunately",
    "thankfully",
    "recommend",
    "return",
    "love",
    "hate",
    "enjoy",
    "regret",
    "expected",
    "wanted",
];

/// A small generator of numbers; its quality matters less than that every run has the same texts.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }
}

fn sentence(numbers: &mut Numbers, words: usize) -> String {
    let mut text = String::new();
    for index in 0..words {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[numbers.below(WORDS.len())]);
    }
    text.push('.');
    text
}

/// Sentences of 4 to 38 words, most in the middle: about 24 tokens on average.
pub fn sentences(count: usize) -> Vec<String> {
    let mut numbers = Numbers::new(7);
    (0..count)
        .map(|_| {
            let words = 4 + numbers.below(18) + numbers.below(18);
            sentence(&mut numbers, words)
        })
        .collect()
}

/// Texts of 1 to 396 words, half of them short: 3 to about 400 tokens.
pub fn mixed(count: usize) -> Vec<String> {
    let mut numbers = Numbers::new(11);
    (0..count)
        .map(|index| {
            let words = if index % 2 == 0 { 1 + numbers.below(24) } else { 40 + numbers.below(356) };
            sentence(&mut numbers, words)
        })
        .collect()
}

/// Of each five texts the first has 6 words, and the others 390: about 8 and 400 tokens.
pub fn long_beside_short(count: usize) -> Vec<String> {
    let mut numbers = Numbers::new(13);
    (0..count).map(|index| sentence(&mut numbers, if index % 5 == 0 { 6 } else { 390 })).collect()
}
