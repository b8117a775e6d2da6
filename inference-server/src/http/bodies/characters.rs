//! Which characters the bytes of a body stand for: JSON in UTF-8, UTF-16 or UTF-32, told by its first
//! bytes as Python's `json.loads` tells it, through which version 1 read bodies.

use std::borrow::Cow;

use crate::http::ApiError;

/// What is read, for those who send something else.
pub(super) const READ: &str = "UTF-8, UTF-16 and UTF-32 are read";

/// Names of these in a `charset` parameter.
pub(super) const CHARSETS: [&str; 10] =
    ["utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16(Order),
    Utf32(Order),
}

/// The characters, without a byte order mark. UTF-8 isn't copied.
pub(super) fn read(bytes: &[u8]) -> Result<Cow<'_, str>, ApiError> {
    let (encoding, mark) = detect(bytes);
    let bytes = &bytes[mark..];
    match encoding {
        Encoding::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(error) => {
                let at = error.valid_up_to();
                let byte = bytes.get(at).copied().unwrap_or_default();
                Err(broken("UTF-8", &format!("byte {byte:#04x} at position {}", mark + at)))
            }
        },
        Encoding::Utf16(order) => utf16(bytes, order)
            .map(Cow::Owned)
            .map_err(|at| broken("UTF-16", &format!("half a character at position {}", mark + at))),
        Encoding::Utf32(order) => utf32(bytes, order)
            .map(Cow::Owned)
            .map_err(|at| broken("UTF-32", &format!("no character at position {}", mark + at))),
    }
}

fn broken(encoding: &str, problem: &str) -> ApiError {
    ApiError::UnreadableBody(format!("the body is not {encoding}: {problem}; {READ}"))
}

/// The encoding, and the length of the byte order mark. Without a mark it is told by the zeros: what
/// JSON begins with is ASCII.
fn detect(bytes: &[u8]) -> (Encoding, usize) {
    let zeros = |places: &[usize]| places.iter().all(|place| bytes.get(*place) == Some(&0));
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => (Encoding::Utf32(Order::Little), 4),
        [0, 0, 0xfe, 0xff, ..] => (Encoding::Utf32(Order::Big), 4),
        [0xff, 0xfe, ..] => (Encoding::Utf16(Order::Little), 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16(Order::Big), 2),
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        [_, _, _, _, ..] if zeros(&[0, 1]) => (Encoding::Utf32(Order::Big), 0),
        [_, _, _, _, ..] if zeros(&[1, 2, 3]) => (Encoding::Utf32(Order::Little), 0),
        [0, _, _, _, ..] | [0, _] => (Encoding::Utf16(Order::Big), 0),
        [_, 0, _, _, ..] | [_, 0] => (Encoding::Utf16(Order::Little), 0),
        _ => (Encoding::Utf8, 0),
    }
}

/// The text, or the place of the first byte that belongs to no character.
fn utf16(bytes: &[u8], order: Order) -> Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| match order {
        Order::Little => u16::from_le_bytes(*pair),
        Order::Big => u16::from_be_bytes(*pair),
    });
    let mut at = 0;
    let mut length = 0;
    for character in char::decode_utf16(units.clone()) {
        let character = character.map_err(|_| at)?;
        at += 2 * character.len_utf16();
        length += character.len_utf8();
    }
    if !rest.is_empty() {
        return Err(at);
    }
    // Of the very size, since it counts against what a body may take.
    let mut text = String::with_capacity(length);
    text.extend(char::decode_utf16(units).flatten());
    Ok(text)
}

/// As [`utf16`].
fn utf32(bytes: &[u8], order: Order) -> Result<String, usize> {
    let (fours, rest) = bytes.as_chunks::<4>();
    let characters = fours.iter().map(|four| {
        char::from_u32(match order {
            Order::Little => u32::from_le_bytes(*four),
            Order::Big => u32::from_be_bytes(*four),
        })
    });
    let mut length = 0;
    for (index, character) in characters.clone().enumerate() {
        length += character.ok_or(4 * index)?.len_utf8();
    }
    if !rest.is_empty() {
        return Err(bytes.len() - rest.len());
    }
    let mut text = String::with_capacity(length);
    text.extend(characters.flatten());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_of(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32_of(text: &str, bytes: impl Fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().map(u32::from).flat_map(bytes).collect()
    }

    #[test]
    fn json_in_each_encoding_is_told_by_its_first_bytes() {
        for text in [r#"{"text":"a fine café 😀"}"#, "{}", "7"] {
            let marked = format!("\u{feff}{text}");
            for bytes in [
                text.as_bytes().to_vec(),
                marked.as_bytes().to_vec(),
                utf16_of(text, u16::to_le_bytes),
                utf16_of(text, u16::to_be_bytes),
                utf16_of(&marked, u16::to_le_bytes),
                utf16_of(&marked, u16::to_be_bytes),
                utf32_of(text, u32::to_le_bytes),
                utf32_of(text, u32::to_be_bytes),
                utf32_of(&marked, u32::to_le_bytes),
                utf32_of(&marked, u32::to_be_bytes),
            ] {
                assert_eq!(read(&bytes).as_deref(), Ok(text), "{bytes:x?}");
            }
        }
        assert_eq!(read(b"").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_none_of_them_is_named_with_its_place() {
        for (bytes, sentence) in [
            (
                &b"{\"text\":\"caf\xe9\"}"[..],
                "the body is not UTF-8: byte 0xe9 at position 12; UTF-8, UTF-16 and UTF-32 are read",
            ),
            (b"\xef\xbb\xbf\x80", "the body is not UTF-8: byte 0x80 at position 3;"),
            (b"{\"a\xc3", "the body is not UTF-8: byte 0xc3 at position 3;"),
            (b"\xff\xfe\xfd", "the body is not UTF-16: half a character at position 2;"),
            (b"{\0\x3d\xd8\"\0", "the body is not UTF-16: half a character at position 2;"),
            (b"{\0\0\0\0\0\x11\0", "the body is not UTF-32: no character at position 4;"),
            (b"{\0\0\0a", "the body is not UTF-32: no character at position 4;"),
        ] {
            let found = read(bytes).unwrap_err().to_string();
            assert!(found.starts_with(sentence), "{found}");
        }
    }
}
