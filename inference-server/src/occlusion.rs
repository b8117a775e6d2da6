//! The words of a text, and the text without one of them: what an attribution by occlusion compares.
//! Pure but for the tokenizer.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::engine::Tokenize;

/// Where the words of a text are, in bytes: Unicode's word boundaries (UAX #29), without white space.
/// A run of ASCII punctuation such as `?!` counts as one word, and so does an emoji.
#[must_use]
pub fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let is_punctuation = |word: &str| word.bytes().all(|byte| byte.is_ascii_punctuation());
    for (start, word) in text.split_word_bound_indices().filter(|(_, word)| !word.trim().is_empty()) {
        let end = start + word.len();
        match words.last_mut() {
            Some(last) if last.end == start && is_punctuation(word) && is_punctuation(&text[last.clone()]) => {
                last.end = end;
            }
            _ => words.push(start..end),
        }
    }
    words
}

/// Joins neighbours to groups of `size`, which the last group may miss.
#[must_use]
pub fn group(words: &[Range<usize>], size: usize) -> Vec<Range<usize>> {
    words.chunks(size.max(1)).map(|group| group[0].start..group[group.len() - 1].end).collect()
}

/// The text without a range, and without a space that would then be doubled.
#[must_use]
pub fn without(text: &str, range: &Range<usize>) -> String {
    let (before, after) = (&text[..range.start], &text[range.end..]);
    let (before, after) = match (before.is_empty() || before.ends_with(char::is_whitespace), after.is_empty()) {
        (_, true) => (before.trim_end(), after),
        (true, false) => (before, after.trim_start()),
        (false, false) => (before, after),
    };
    [before, after].concat()
}

/// How many of the words the model reads at least in part, where a long text is cut to its limit of
/// `most` tokens. The error is the tokenizer's sentence on the whole text.
pub fn words_read(tokenizer: &dyn Tokenize, text: &str, words: &[Range<usize>], most: usize) -> Result<usize, String> {
    let all = tokenizer.tokenize(text)?;
    if all.windows.iter().map(|window| window.ids.len()).sum::<usize>() < most {
        return Ok(words.len());
    }
    // From the cut on, a text that ends earlier has the same tokens.
    let (mut read, mut unread) = (0, words.len());
    while read < unread {
        let middle = read + (unread - read) / 2;
        // The tokenizer refuses a start in which it sees nothing; that one lacks something too.
        if tokenizer.tokenize(&text[..words[middle].start]).is_ok_and(|tokens| tokens == all) {
            unread = middle;
        } else {
            read = middle + 1;
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Encoding, Tokens};

    fn found(text: &str) -> Vec<&str> {
        words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn words_are_unicodes_and_punctuation_runs_are_one() {
        assert_eq!(found("I don't  love it?! (3.5/5)"), ["I", "don't", "love", "it", "?!", "(", "3.5", "/", "5", ")"]);
        assert_eq!(found("crème brûlée…\n👩‍👩‍👧 👍🏽."), ["crème", "brûlée", "…", "👩‍👩‍👧", "👍🏽", "."]);
        assert_eq!(found("太棒了"), ["太", "棒", "了"]);
        assert!(found(" \t\u{3000}").is_empty());
    }

    #[test]
    fn groups_hold_all_words_in_order() {
        let text = "a b c d e f g";
        let words = words(text);
        for size in 1..10 {
            let groups = group(&words, size);
            assert_eq!(groups.len(), words.len().div_ceil(size));
            let joined: Vec<&str> = groups.iter().map(|group| &text[group.clone()]).collect();
            assert_eq!(joined.join(" "), text);
        }
        assert_eq!(group(&words, 1), words);
        assert!(group(&[], 7).is_empty());
    }

    #[test]
    fn a_word_goes_with_one_of_its_spaces() {
        let text = "I love it, really";
        let left: Vec<String> = words(text).iter().map(|word| without(text, word)).collect();
        assert_eq!(left, ["love it, really", "I it, really", "I love , really", "I love it really", "I love it,"]);
        assert_eq!(without("alone", &(0..5)), "");
    }

    /// One token a word, cut to so many words, with a first and a last one that every text has.
    struct Cutting(usize);

    impl Tokenize for Cutting {
        fn tokenize(&self, text: &str) -> Result<Encoding, String> {
            let words = text.split_whitespace().map(|word| u32::try_from(word.len()).unwrap());
            let words: Vec<u32> = words.take(self.0).collect();
            if words.is_empty() {
                return Err("nothing in it is visible to the model".to_owned());
            }
            let tokens = Tokens { ids: [vec![1000], words, vec![1001]].concat(), type_ids: None };
            Ok(Encoding { windows: vec![tokens], truncated: false })
        }

        fn most_tokens(&self) -> usize {
            self.0 + 2
        }
    }

    #[test]
    fn words_behind_the_cut_are_not_read() {
        for (text, limit, read) in [
            ("a", 4, 1),
            ("a bb ccc", 4, 3),
            ("a bb ccc dddd", 4, 4),
            ("a bb ccc dddd e ff", 4, 4),
            ("e e e e e e", 4, 4),
            ("a bb ccc", 1, 1),
        ] {
            assert_eq!(words_read(&Cutting(limit), text, &words(text), limit + 2), Ok(read), "{text}");
        }
        assert!(words_read(&Cutting(4), "", &[], 6).is_err());
    }
}
