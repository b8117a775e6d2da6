//! What a file must be, taken while its bytes pass by.

use std::fmt::Write;

use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest as _, Md5};
use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};

/// What is known of a file's content before it is fetched, or from the answer's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Of its bytes, in hexadecimal.
    Sha256(String),
    /// Of its bytes, in hexadecimal.
    Sha512(String),
    /// The name that Git gives it: SHA-1 behind `blob SIZE` and a zero byte. It needs the size.
    GitBlob(String),
    /// Of its bytes, in hexadecimal: what Azure and Google keep.
    Md5(String),
    /// Castagnoli's, in hexadecimal: what Google keeps of an object that was composed.
    Crc32c(String),
}

impl Checksum {
    /// Reads `sha256:HEX` or `sha512:HEX`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let is_hex = |length| hex.len() == length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        match algorithm {
            "sha256" if is_hex(64) => Some(Self::Sha256(hex.to_owned())),
            "sha512" if is_hex(128) => Some(Self::Sha512(hex.to_owned())),
            _ => None,
        }
    }

    /// As sentences write it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Sha256(hex) => format!("sha256:{hex}"),
            Self::Sha512(hex) => format!("sha512:{hex}"),
            Self::GitBlob(hex) => format!("git:{hex}"),
            Self::Md5(hex) => format!("md5:{hex}"),
            Self::Crc32c(hex) => format!("crc32c:{hex}"),
        }
    }
}

/// Takes a checksum.
pub struct Taking {
    expected: Checksum,
    state: State,
}

enum State {
    Sha(Box<Context>),
    Md5(Box<Md5>),
    Crc(Box<Crc>),
}

impl Taking {
    /// Begins. `size` is the whole file's, which Git's names depend on; `None` if it can't be taken without.
    #[must_use]
    pub fn start(expected: &Checksum, size: Option<u64>) -> Option<Self> {
        let sha = |algorithm: &'static Algorithm| State::Sha(Box::new(Context::new(algorithm)));
        let state = match expected {
            Checksum::Sha256(_) => sha(&SHA256),
            Checksum::Sha512(_) => sha(&SHA512),
            Checksum::GitBlob(_) => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {}\0", size?).as_bytes());
                State::Sha(Box::new(context))
            }
            Checksum::Md5(_) => State::Md5(Box::default()),
            Checksum::Crc32c(_) => State::Crc(Box::new(Crc::new(CrcAlgorithm::Crc32Iscsi))),
        };
        Some(Self { expected: expected.clone(), state })
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha(context) => context.update(bytes),
            State::Md5(context) => context.update(bytes),
            State::Crc(context) => context.update(bytes),
        }
    }

    /// What was expected and what is, where they differ.
    pub fn finish(self) -> Result<(), (String, String)> {
        let hex = match self.state {
            State::Sha(context) => hex(context.finish().as_ref()),
            State::Md5(context) => hex(&context.finalize()),
            State::Crc(context) => format!("{:08x}", context.finalize()),
        };
        let got = match &self.expected {
            Checksum::Sha256(_) => Checksum::Sha256(hex),
            Checksum::Sha512(_) => Checksum::Sha512(hex),
            Checksum::GitBlob(_) => Checksum::GitBlob(hex),
            Checksum::Md5(_) => Checksum::Md5(hex),
            Checksum::Crc32c(_) => Checksum::Crc32c(hex),
        };
        if got == self.expected { Ok(()) } else { Err((self.expected.shown(), got.shown())) }
    }
}

/// In hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of a text, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &Checksum, of: &[u8]) -> Result<(), (String, String)> {
        let mut taking = Taking::start(expected, Some(of.len() as u64)).unwrap();
        for part in of.chunks(2) {
            taking.update(part);
        }
        taking.finish()
    }

    #[test]
    fn known_answers() {
        // `printf 'hello\n' | git hash-object --stdin`, `md5sum`, `sha256sum`; CRC-32C of "123456789" is its catalogue's.
        check(&Checksum::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a".into()), b"hello\n").unwrap();
        check(&Checksum::Md5("b1946ac92492d2347c6235b4d2611184".into()), b"hello\n").unwrap();
        check(&Checksum::Crc32c("e3069283".into()), b"123456789").unwrap();
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        check(&Checksum::parse(&format!("sha256:{sha}")).unwrap(), b"hello\n").unwrap();
        let (expected, got) = check(&Checksum::Sha256(sha.into()), b"hello").unwrap_err();
        assert!(expected.ends_with(sha) && got.starts_with("sha256:2cf24d"), "{got}");
    }

    #[test]
    fn only_digests_are_read_as_such() {
        for text in
            ["", "sha256:", "sha256:abc", "md5:b1946ac92492d2347c6235b4d2611184", &format!("sha256:{}", "G".repeat(64))]
        {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
    }
}
