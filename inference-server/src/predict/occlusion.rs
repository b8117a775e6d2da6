//! The words of a text, and the text without one of them: what an attribution by occlusion compares.
//! Pure but for the tokenizer.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use engine::{Tokenize, TokenizeError};

/// Where the words of a text are, in bytes: Unicode's word boundaries (UAX #29), without white space.
/// A run of ASCII punctuation such as `?!` counts as one word, and so does an emoji.
#[must_use]
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
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
pub(super) fn group(words: &[Range<usize>], size: usize) -> Vec<Range<usize>> {
    words.chunks(size.max(1)).map(|group| group[0].start..group[group.len() - 1].end).collect()
}

/// The text without a range, and without a space that would then be doubled.
#[must_use]
pub(super) fn without(text: &str, range: &Range<usize>) -> String {
    let (before, after) = (&text[..range.start], &text[range.end..]);
    let (before, after) = match (before.is_empty() || before.ends_with(char::is_whitespace), after.is_empty()) {
        (_, true) => (before.trim_end(), after),
        (true, false) => (before, after.trim_start()),
        (false, false) => (before, after),
    };
    [before, after].concat()
}

/// How many of the words are in what the model reads at once, and whether there is more than that. Of a text that is cut
/// the word at the cut counts too.
pub(super) fn words_read(
    tokenizer: &dyn Tokenize,
    text: &str,
    words: &[Range<usize>],
) -> Result<(usize, bool), TokenizeError> {
    let all = tokenizer.tokenize(&text.into())?;
    if all.windows.len() == 1 && !all.truncated {
        return Ok((words.len(), false));
    }
    // The tokenizer refuses a start in which it sees nothing; that one lacks something too.
    let windows =
        |end: usize| tokenizer.tokenize(&text[..end].into()).map(|encoding| encoding.windows).unwrap_or_default();
    let read = words.partition_point(|word| match all.windows.len() {
        // From the cut on, a text that ends earlier has the same tokens.
        1 => windows(word.start) != all.windows,
        _ => windows(word.end).len() <= 1,
    });
    Ok((read.max(1).min(words.len()), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Encoding, Input, Tokens};

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

    /// A token for each letter and two for each `x`, so many at once, with a first and a last one that every text has.
    struct Letters {
        at_once: usize,
        in_windows: bool,
    }

    impl Tokenize for Letters {
        fn tokenize(&self, input: &Input<'_>) -> Result<Encoding, TokenizeError> {
            let letters = input.text.chars().filter(|letter| !letter.is_whitespace());
            let ids: Vec<u32> =
                letters.flat_map(|letter| vec![u32::from(letter); 1 + usize::from(letter == 'x')]).collect();
            if ids.is_empty() {
                return Err("nothing in it is visible to the model".to_owned().into());
            }
            let truncated = !self.in_windows && ids.len() > self.at_once;
            let windows =
                ids.chunks(self.at_once).map(|ids| Tokens { ids: [&[1000], ids, &[1001]].concat(), type_ids: None });
            Ok(Encoding { windows: windows.take(if self.in_windows { usize::MAX } else { 1 }).collect(), truncated })
        }

        fn most_tokens(&self) -> usize {
            self.at_once + 2
        }
    }

    #[test]
    fn words_behind_the_cut_are_not_read() {
        // How many are read of a text that is cut, and how many fit whole into what is read at once.
        for (text, at_once, cut, whole) in [
            ("a", 4, 1, 1),
            ("a bb c", 4, 3, 3),
            ("a bb c d", 4, 3, 3),
            ("a bb ccc", 4, 3, 2),
            ("a bb ccc dd", 4, 3, 2),
            ("e e e e e e", 4, 4, 4),
            ("a a x a", 3, 3, 2),
            ("aaaaaa b", 4, 1, 1),
        ] {
            let words = words(text);
            for (in_windows, read) in [(false, cut), (true, whole)] {
                let tokenizer = Letters { at_once, in_windows };
                let encoding = tokenizer.tokenize(&text.into()).unwrap();
                let more = encoding.truncated || encoding.windows.len() > 1;
                assert_eq!(words_read(&tokenizer, text, &words), Ok((read, more)), "{text}");
            }
        }
        assert!(words_read(&Letters { at_once: 4, in_windows: false }, "", &[]).is_err());
    }
}
