//! The binary extension: tensors that follow the JSON as bytes. An element of BYTES is its length in four bytes, least
//! significant first, and then its own.

use axum::http::HeaderName;

use super::request::{KnownParameters, protocol, refuse};
use crate::http::{ApiError, error::quoted, fields, rows::MOST_TEXTS, texts};
use crate::predict::Text;

/// Says how many bytes of a body are JSON, where tensors follow.
pub(in crate::http) const HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Bytes of an element's length.
const LENGTH: usize = 4;

/// How many bytes are JSON, by a header's value.
pub(super) fn json_length(value: &[u8]) -> Result<usize, ApiError> {
    let value = String::from_utf8_lossy(value);
    value.trim().parse().map_err(|_| {
        let value = quoted(&value);
        protocol(format!("Inference-Header-Content-Length must be a number of bytes, not {value}"))
    })
}

/// The parameter `binary_data_size`.
pub(super) fn size(parameters: &mut KnownParameters) -> Result<Option<usize>, ApiError> {
    let Some(size) = parameters.take("binary_data_size").filter(|size| !fields::is_null(size)) else { return Ok(None) };
    let size = size.get().parse().map_err(|_| protocol("binary_data_size must be a number of bytes"))?;
    Ok(Some(size))
}

/// The texts of a tensor of so many bytes. The first that is none ends the reading.
pub(super) fn texts(size: usize, tensor: &[u8], longest: usize) -> Result<Vec<Text>, ApiError> {
    if size != tensor.len() {
        let length = tensor.len();
        return refuse(format!(
            "binary_data_size is {size}, but {length} bytes follow the JSON, of which Inference-Header-Content-Length \
             says the length"
        ));
    }
    let mut texts = Vec::new();
    let mut left = tensor;
    while !left.is_empty() {
        let index = texts.len();
        if index == MOST_TEXTS {
            return refuse(format!("1 to {MOST_TEXTS} texts are allowed, not more"));
        }
        let element =
            element(&mut left).ok_or_else(|| protocol(format!("text {index}: the binary data ends in it")))?;
        let text = str::from_utf8(element).map_err(|_| protocol(format!("text {index}: it is not UTF-8")))?;
        texts.push(Text::new(text, longest).map_err(|error| texts::at(index, error))?);
    }
    Ok(texts)
}

/// Takes an element off, if it is there whole.
fn element<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = left.split_first_chunk::<LENGTH>()?;
    let (element, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *left = rest;
    Some(element)
}

/// Adds an element of BYTES.
pub(super) fn push(element: &[u8], tensor: &mut Vec<u8>) {
    // No label or class has 4 GiB.
    tensor.extend(u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
    tensor.extend(element);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(elements: &[&[u8]]) -> Vec<u8> {
        let mut tensor = Vec::new();
        for element in elements {
            push(element, &mut tensor);
        }
        tensor
    }

    fn read(tensor: &[u8]) -> Result<Vec<String>, String> {
        let texts = texts(tensor.len(), tensor, 9).map_err(|error| error.to_string())?;
        Ok(texts.into_iter().map(|text| text.content).collect())
    }

    #[test]
    fn elements_are_their_length_and_their_bytes() {
        assert_eq!(tensor(&[b"ab"]), [2, 0, 0, 0, b'a', b'b']);
        assert_eq!(read(&tensor(&[b"ab", "é ".as_bytes()])), Ok(vec!["ab".to_owned(), "é".to_owned()]));
        assert_eq!(read(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_broken_is_refused_in_a_sentence() {
        for (tensor, sentence) in [
            (vec![2, 0, 0], "text 0: the binary data ends in it"),
            (vec![2, 0, 0, 0, b'a'], "text 0: the binary data ends in it"),
            (vec![255; 8], "text 0: the binary data ends in it"),
            (tensor(&[b"a", b"\xff"]), "text 1: it is not UTF-8"),
            (tensor(&[b"a", b" "]), "text 1: the text is empty"),
            (tensor(&[b"0123456789"]), "text 0: the text has 10 characters, and at most 9 are allowed"),
            (tensor(&[&b"a"[..]; 1001]), "1 to 1000 texts are allowed, not more"),
        ] {
            assert_eq!(read(&tensor), Err(sentence.to_owned()));
        }
        let error = texts(5, &tensor(&[&b"a"[..]; 2]), 9).unwrap_err().to_string();
        assert!(error.starts_with("binary_data_size is 5, but 10 bytes follow the JSON"), "{error}");
        assert_eq!((json_length(b" 7 "), json_length(b"-1").is_err()), (Ok(7), true));
    }
}
