//! Names of images and artifacts: `registry.example.com/models/sentiment:1.0@sha256:…`.

use std::fmt;

use crate::{checks::Checksum, error::FetchError};

/// Where names without a registry lead, as every other tool has it.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The host that serves it.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// A reference, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// As credentials name it.
    pub registry: String,
    /// Below the registry.
    pub repository: String,
    tag: Option<String>,
    /// `sha256:…`, where the content is pinned.
    pub digest: Option<String>,
}

impl Reference {
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        let bad = |problem: &str| FetchError::BadSource {
            what: "the reference",
            given: crate::error::short(text),
            problem: problem.to_owned(),
        };
        if text.contains("://") {
            return Err(bad("has a scheme; write it as REGISTRY/NAME:TAG"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if Checksum::parse(digest).is_some() => (name, Some(digest.to_owned())),
            Some(_) => return Err(bad("has a digest that is none; write sha256: and 64 hexadecimal digits")),
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (rest, None),
        };
        let is_docker = matches!(registry, "docker.io" | "index.docker.io");
        let repository = if is_docker && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let is_part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if !repository.split('/').all(is_part) {
            return Err(bad("has no valid name; write it as REGISTRY/NAME:TAG in small letters"));
        }
        let is_tag = |tag: &str| {
            !tag.is_empty()
                && tag.len() <= 128
                && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("has a tag that is none"));
        }
        let registry = if is_docker { DEFAULT_REGISTRY } else { registry }.to_owned();
        Ok(Self { registry, repository, tag, digest })
    }

    /// The host that serves it, with its port.
    pub(super) fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { &self.registry }
    }

    /// What the manifest is asked for by.
    pub(super) fn manifest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// Whether the registry is on this machine, where all tools go without TLS.
    pub(super) fn is_local(&self) -> bool {
        let host = self.registry.rsplit_once(':').map_or(&*self.registry, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Reference::parse(text) {
            Ok(read) => format!("{} {} {} {}", read.registry, read.host(), read.repository, read.manifest()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(read("model"), "docker.io registry-1.docker.io library/model latest");
        assert_eq!(read("me/model:1"), "docker.io registry-1.docker.io me/model 1");
        assert_eq!(read("ghcr.io/me/model:1"), "ghcr.io ghcr.io me/model 1");
        assert_eq!(read("localhost/model"), "localhost localhost model latest");
        assert_eq!(read("host:5000/a/b/c"), "host:5000 host:5000 a/b/c latest");
        assert_eq!(read(&format!("host:5000/a:1@{digest}")), format!("host:5000 host:5000 a {digest}"));
    }

    #[test]
    fn what_is_no_reference() {
        for text in ["", "https://host/a", "host.io/A", "host.io/a/../b", "a@sha256:1", "host.io/", "a:", "a b"] {
            assert!(Reference::parse(text).is_err(), "{text}: {}", read(text));
        }
    }
}
