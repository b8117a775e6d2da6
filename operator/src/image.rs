//! Names of container images.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The architecture of the server image that comes with the operator.
pub const DEFAULT_ARCHITECTURE: &str = "amd64";

/// The server image of services that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerImage {
    /// Its name.
    pub reference: ImageReference,
    /// The architectures that it is built for, as nodes call them; empty where nobody knows.
    pub architectures: Vec<String>,
}

impl FromStr for ServerImage {
    type Err = InvalidImage;

    /// One that is built as our own is.
    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        Ok(Self { reference: text.parse()?, architectures: vec![DEFAULT_ARCHITECTURE.to_owned()] })
    }
}

/// A container image: `repository:tag`, or `repository@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    repository: String,
    version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    Tag(String),
    Digest(String),
}

/// Why an image can't be named.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidImage {
    /// No repository.
    #[error("\"{0}\" names no repository")]
    NoRepository(String),
    /// Both a tag and a digest were given.
    #[error("set tag or digest, not both")]
    TagAndDigest,
    /// The debug variant is found by tag.
    #[error("debug picks the debug variant by its tag and can't be used with a digest")]
    DebugDigest,
    /// The digest is no sha256.
    #[error("digest \"{0}\" is not of the form sha256: and 64 hexadecimal digits")]
    Digest(String),
}

impl ImageReference {
    /// This image with the given parts in place of its own. A new repository keeps the tag:
    /// mirrors carry the same release.
    pub fn overridden(
        &self,
        repository: Option<&str>,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<Self, InvalidImage> {
        let version = match (tag, digest) {
            (Some(_), Some(_)) => return Err(InvalidImage::TagAndDigest),
            (Some(tag), None) => Version::Tag(tag.to_owned()),
            (None, Some(digest)) => Version::Digest(checked_digest(digest)?),
            (None, None) => self.version.clone(),
        };
        Ok(Self { repository: repository.unwrap_or(&self.repository).to_owned(), version })
    }

    /// The debug variant of this image, which has a shell.
    pub fn debug(self) -> Result<Self, InvalidImage> {
        match self.version {
            Version::Tag(tag) => {
                Ok(Self { repository: self.repository, version: Version::Tag(format!("{tag}-debug")) })
            }
            Version::Digest(_) => Err(InvalidImage::DebugDigest),
        }
    }

    /// The image without tag or digest.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The version as a label value: the tag, or the first twelve digits of the digest.
    #[must_use]
    pub fn version_label(&self) -> String {
        let text: String = match &self.version {
            Version::Tag(tag) => tag.chars().take(63).collect(),
            Version::Digest(digest) => digest.trim_start_matches("sha256:").chars().take(12).collect(),
        };
        // A label value must begin and end with a letter or digit; a tag needn't.
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
    }
}

fn checked_digest(digest: &str) -> Result<String, InvalidImage> {
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) => {
            Ok(digest.to_owned())
        }
        _ => Err(InvalidImage::Digest(digest.to_owned())),
    }
}

impl FromStr for ImageReference {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let no_repository = || InvalidImage::NoRepository(text.to_owned());
        let (repository, version) = if let Some((repository, digest)) = text.split_once('@') {
            (repository, Version::Digest(checked_digest(digest)?))
        } else {
            // A colon before the last slash is a registry's port.
            match text.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository, Version::Tag(tag.to_owned())),
                _ => (text, Version::Tag("latest".to_owned())),
            }
        };
        if repository.is_empty() {
            return Err(no_repository());
        }
        Ok(Self { repository: repository.to_owned(), version })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parse(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    #[test]
    fn references_read_and_write_the_same() {
        for text in ["a:b", "registry:5000/a/b:c", &format!("registry:5000/a@{DIGEST}")] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("registry:5000/a").to_string(), "registry:5000/a:latest");
        assert_eq!("".parse::<ImageReference>(), Err(InvalidImage::NoRepository(String::new())));
        assert_eq!("a@sha256:1".parse::<ImageReference>(), Err(InvalidImage::Digest("sha256:1".into())));
    }

    #[test]
    fn parts_replace_parts() {
        let image = parse("sentiment-service:distroless");
        let with = |repository, tag, digest| image.overridden(repository, tag, digest).map(|i| i.to_string());
        assert_eq!(with(None, None, None).unwrap(), "sentiment-service:distroless");
        assert_eq!(with(Some("mirror/s"), None, None).unwrap(), "mirror/s:distroless");
        assert_eq!(with(None, Some("1.2"), None).unwrap(), "sentiment-service:1.2");
        assert_eq!(with(None, None, Some(DIGEST)).unwrap(), format!("sentiment-service@{DIGEST}"));
        assert_eq!(with(None, Some("1"), Some(DIGEST)), Err(InvalidImage::TagAndDigest));
    }

    #[test]
    fn the_debug_variant_has_a_tag_of_its_own() {
        assert_eq!(parse("s:distroless").debug().unwrap().to_string(), "s:distroless-debug");
        assert_eq!(parse(&format!("s@{DIGEST}")).debug(), Err(InvalidImage::DebugDigest));
    }

    #[test]
    fn versions_are_label_values() {
        assert_eq!(parse("s:1.2.3").version_label(), "1.2.3");
        assert_eq!(parse("s:1.2_").version_label(), "1.2");
        assert_eq!(parse(&format!("s@{DIGEST}")).version_label(), "0123456789ab");
        assert_eq!(parse(&format!("s:{}", "x".repeat(128))).version_label().len(), 63);
    }
}
