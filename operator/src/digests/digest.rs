//! What identifies a model beyond doubt.

use std::{fmt, sync::Arc};

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(Arc<str>);

impl Digest {
    /// `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (digits.len() == DIGITS && digits.bytes().all(is_digit)).then(|| Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_sha256_and_nothing_else() {
        let of = |digits: &str| Digest::parse(&format!("sha256:{digits}"));
        assert_eq!(of(&"0a".repeat(32)).unwrap().to_string(), format!("sha256:{}", "0a".repeat(32)));
        for digits in ["", "0a", &"0A".repeat(32), &"0a".repeat(33), &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(of(digits), None, "{digits}");
        }
        assert_eq!(Digest::parse(&"0a".repeat(32)), None);
    }
}
