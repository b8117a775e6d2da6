//! The one digest of a model, over every file that shapes an answer.

use std::path::Path;

use model::Digest;

use crate::error::{FetchError, short};

/// The digest of a directory, as `sentiment-server model digest` prints it.
pub fn of(directory: &Path) -> Result<Digest, FetchError> {
    model::digest_of(directory).map_err(|error| FetchError::NoDigest(short(&error.to_string())))
}
