//! Which files an ONNX file says that its weights are in.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use memchr::memmem;

use crate::error::FetchError;

/// How a tensor names such a file (`StringStringEntryProto` of onnx.proto): field 1 is the text "location", field 2 its value.
const LOCATION: &[u8] = b"\x0a\x08location\x12";

/// Bytes of a name.
const LONGEST: usize = 1024;

const CHUNK: usize = 1 << 20;

/// The names, relative to the file's folder. The file is searched and not parsed: what is found by chance names no file.
pub fn locations(path: &Path) -> Result<BTreeSet<String>, FetchError> {
    let error = |problem| FetchError::io(path, problem);
    let mut file = File::open(path).map_err(error)?;
    let mut found = BTreeSet::new();
    let mut window = Vec::with_capacity(CHUNK + 2 * LONGEST);
    loop {
        let before = window.len();
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut window).map_err(error)?;
        for at in memmem::find_iter(&window, LOCATION) {
            found.extend(value(&window[at + LOCATION.len()..]));
        }
        if read == 0 {
            return Ok(found);
        }
        // A name that is cut off by the end is found again, whole.
        let keep = window.len().min(LOCATION.len() + LONGEST + 2).min(before + read);
        window.drain(..window.len() - keep);
    }
}

/// A text behind its length, which is a varint.
fn value(bytes: &[u8]) -> Option<String> {
    let (length, rest) = match *bytes {
        [length, ref rest @ ..] if length < 0x80 => (usize::from(length), rest),
        [low, high, ref rest @ ..] if high < 0x80 => (usize::from(low & 0x7f) | (usize::from(high) << 7), rest),
        _ => return None,
    };
    if length == 0 || length > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    (!text.contains(|c: char| c.is_control())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &[u8]) -> Vec<String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("model-fetch-external-{}-{count}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let found = locations(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        found.into_iter().collect()
    }

    fn entry(name: &str) -> Vec<u8> {
        let mut bytes = LOCATION.to_vec();
        match name.len() {
            short @ 0..128 => bytes.push(u8::try_from(short).unwrap()),
            long => bytes.extend([u8::try_from(long & 0x7f).unwrap() | 0x80, u8::try_from(long >> 7).unwrap()]),
        }
        bytes.extend(name.as_bytes());
        bytes
    }

    #[test]
    fn names_are_found_wherever_they_are() {
        let long = "x".repeat(300);
        for before in [0, 1, CHUNK - 20, CHUNK - 3, CHUNK, CHUNK + 1, 2 * CHUNK - 5] {
            let mut content = vec![7; before];
            content.extend(entry("model.onnx_data"));
            content.extend(entry(&long));
            content.extend(vec![7; 30]);
            assert_eq!(found(&content), ["model.onnx_data", &long], "{before}");
        }
    }

    #[test]
    fn half_a_name_is_none() {
        let whole = entry("weights.bin");
        assert_eq!(found(&whole[..whole.len() - 1]), [""; 0]);
        assert_eq!(found(b""), [""; 0]);
    }
}
