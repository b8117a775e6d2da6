//! How many tokens a text probably has, before it is tokenized.

use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a token until texts have been seen: what English has by most tokenizers.
const AT_FIRST: f32 = 4.0;

/// Weight of the latest text.
const LATEST: f32 = 0.02;

/// Tells lengths by those of the latest texts.
#[derive(Debug)]
pub(crate) struct Lengths {
    bytes_of_a_token: AtomicU32,
    most_tokens: usize,
}

impl Lengths {
    /// `most_tokens` is what is read of a text at most.
    pub(crate) fn new(most_tokens: usize) -> Self {
        Self { bytes_of_a_token: AtomicU32::new(AT_FIRST.to_bits()), most_tokens }
    }

    /// Tokens that a text of so many bytes probably has.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a bound follows")]
    pub(crate) fn expect(&self, bytes: usize) -> usize {
        ((to_f32(bytes) / self.bytes_of_a_token()) as usize).clamp(1, self.most_tokens.max(1))
    }

    /// Notes a text. One that reaches the limit may have been cut, so it says nothing.
    pub(crate) fn learn(&self, bytes: usize, tokens: usize) {
        if tokens > 0 && tokens < self.most_tokens {
            let ratio = (to_f32(bytes) / to_f32(tokens)).clamp(0.25, 32.0);
            let mean = self.bytes_of_a_token() * (1.0 - LATEST) + ratio * LATEST;
            self.bytes_of_a_token.store(mean.to_bits(), Ordering::Relaxed);
        }
    }

    fn bytes_of_a_token(&self) -> f32 {
        f32::from_bits(self.bytes_of_a_token.load(Ordering::Relaxed))
    }
}

fn to_f32(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_follow_the_texts_that_came() {
        let lengths = Lengths::new(512);
        assert_eq!((lengths.expect(0), lengths.expect(40), lengths.expect(9_999)), (1, 10, 512));
        for _ in 0..1000 {
            // A language with a token for each character of three bytes.
            lengths.learn(300, 100);
        }
        assert_eq!(lengths.expect(600), 199);
        // What was cut says nothing.
        lengths.learn(9_999, 512);
        assert_eq!(lengths.expect(600), 199);
    }
}
