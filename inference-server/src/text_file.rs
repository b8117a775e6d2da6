//! Reads a small text file that somebody else wrote.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// The text of a file of at most so many bytes. The error is the end of a sentence that begins with the file.
pub fn read(file: &Path, most_bytes: u64) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("can't be read: {error}");
    // Looked at before it is opened: to open a pipe would wait for ever.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err("is not a file; container engines make a folder where the file to mount is missing".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(file).and_then(|file| file.take(most_bytes + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most_bytes {
        return Err(format!("is larger than {most_bytes} bytes, which is too large"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}
