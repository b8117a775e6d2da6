//! The one digest of a model, over every file that shapes an answer.

use std::path::Path;

use crate::error::FetchError;

/// The digest of a finished directory, as `sentiment-server model digest` prints it.
pub fn of(directory: &Path) -> Result<String, FetchError> {
    shim::digest_of(directory).map_err(|error| FetchError::NoDigest(crate::error::short(&error)))
}

/// Reads `sha256:HEX` as a person writes it.
pub fn parse(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    match crate::checks::Checksum::parse(&text) {
        Some(crate::checks::Checksum::Sha256(_)) => Ok(text),
        _ => {
            Err("a digest is sha256: and 64 hexadecimal digits, as `sentiment-server model digest` prints it"
                .to_owned())
        }
    }
}

/// Stands in for `model::digest_of` until that is merged.
mod shim {
    use std::{fs, path::Path};

    use ring::digest::{Context, SHA256};

    pub(super) fn digest_of(directory: &Path) -> Result<String, String> {
        let mut context = Context::new(&SHA256);
        for name in super::super::finish::files(directory).map_err(|error| error.to_string())? {
            let path = name.below(directory);
            let content = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            context.update(format!("{name}\0{}\0", crate::checks::sha256(&content)).as_bytes());
        }
        Ok(format!("sha256:{}", crate::checks::hex(context.finish().as_ref())))
    }
}
