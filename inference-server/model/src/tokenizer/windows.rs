//! Where the windows of a long text are.

use std::ops::Range;

/// The windows over so many tokens: as few as there can be, none of more than `room`, one after another and all of about one
/// length, so that the last one isn't a remnant. ADR 27 has the figures.
pub(super) fn windows(tokens: usize, room: usize) -> impl Iterator<Item = Range<usize>> {
    let count = tokens.div_ceil(room.max(1)).max(1);
    (0..count).map(move |index| index * tokens / count..(index + 1) * tokens / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_all_of_the_tokens_in_order_and_of_one_length() {
        for tokens in 0..200 {
            for room in [1, 2, 7, 10, 64] {
                let all: Vec<_> = windows(tokens, room).collect();
                assert_eq!(all.len(), tokens.div_ceil(room).max(1), "{tokens} in {room}");
                assert_eq!((all[0].start, all[all.len() - 1].end), (0, tokens));
                assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start), "{all:?}");
                let lengths = all.iter().map(Range::len);
                let (shortest, longest) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
                assert!(longest <= room && longest - shortest <= 1, "{all:?}");
            }
        }
    }
}
