//! Models and what they are packed in.

use std::io::Write;

/// Bytes that aren't alike anywhere, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An ONNX file as far as anything here reads it: a message whose text, `doc_string`, is so long.
pub fn onnx(length: usize) -> Vec<u8> {
    let mut bytes = vec![6 << 3 | 2];
    varint(length, &mut bytes);
    bytes.extend(noise(length));
    bytes
}

/// An ONNX file whose one tensor has its numbers in another file.
pub fn onnx_with_weights_in(location: &str) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        varint(content.len(), &mut bytes);
        [bytes, content.to_vec()].concat()
    };
    let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
    field(7, &field(5, &field(13, &entry)))
}

fn varint(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
}

pub const CONFIG: &str = r#"{"id2label":{"0":"NEGATIVE","1":"POSITIVE"},"model_type":"distilbert"}"#;
pub const TOKENIZER: &str = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}"#;

/// The files of a small model.
pub fn small_model() -> Vec<(String, Vec<u8>)> {
    model(&[("model.onnx", onnx(1000))])
}

/// A model's files with these beside its configuration and tokenizer.
pub fn model(with: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let plain = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER)];
    let plain = plain.into_iter().map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
    plain.chain(with.iter().map(|(name, content)| ((*name).to_owned(), content.clone()))).collect()
}

/// A tar of files.
pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        add(&mut builder, name.as_bytes(), tar::EntryType::Regular, content);
    }
    builder.into_inner().unwrap()
}

/// Adds an entry under a name that the library itself may refuse.
pub fn add(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: tar::EntryType, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn sha256(content: &[u8]) -> String {
    model_fetch::checks::sha256(content)
}
