//! Texts as Triton's raw tensors have them: four bytes with the length, lowest first, and then the text.

use prost::bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::CallError;

/// Reads so many texts, which must be all that there is.
pub(super) fn read(mut raw: Bytes, expected: usize) -> Result<Vec<Bytes>, CallError> {
    let mut texts = Vec::with_capacity(expected);
    while !raw.is_empty() {
        let index = texts.len();
        if index == expected {
            return Err(CallError::invalid(format!("the raw input holds more than the {expected} texts of its shape")));
        }
        let length = raw.try_get_u32_le().ok().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= raw.len()) else {
            return Err(CallError::invalid(format!(
                "text {index}: the raw input ends before the text does: each has its length in four bytes before it"
            )));
        };
        texts.push(raw.split_to(length));
    }
    if texts.len() < expected {
        let found = texts.len();
        return Err(CallError::invalid(format!("the raw input holds {found} texts, and its shape {expected}")));
    }
    Ok(texts)
}

/// Writes texts one after the other.
pub(super) fn write<'a>(texts: impl Iterator<Item = &'a str>) -> Bytes {
    let mut raw = BytesMut::new();
    for text in texts {
        raw.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
        raw.put_slice(text.as_bytes());
    }
    raw.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_there_and_back() {
        let texts = ["", "good", "schön"];
        let raw = write(texts.into_iter());
        assert_eq!(raw[..8], [0, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(read(raw, 3).unwrap(), texts);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let raw = write(["good", "bad"].into_iter());
        for (raw, expected, sentence) in [
            (raw.clone(), 1, "the raw input holds more than the 1 texts of its shape"),
            (raw.clone(), 3, "the raw input holds 2 texts, and its shape 3"),
            (raw.slice(..raw.len() - 1), 2, "text 1: the raw input ends before the text does"),
            (raw.slice(..9), 2, "text 1: the raw input ends before the text does"),
            (Bytes::from_static(&[255; 8]), 1, "text 0: the raw input ends before the text does"),
        ] {
            let error = read(raw, expected).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
