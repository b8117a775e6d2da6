//! SHA-256, and how it is written.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use ring::digest::{Context, Digest, SHA256};

/// Of a file, which is never in memory as a whole.
pub fn of_file(file: &Path) -> io::Result<Digest> {
    let mut file = File::open(file)?;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Adds bytes in hexadecimal.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
}
