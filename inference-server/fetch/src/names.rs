//! Names of files as others write them: what they may be before a path is made of them.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Bytes in a name of one file or folder, as Linux has it.
const LONGEST_PART: usize = 255;

/// Bytes in a whole name.
const LONGEST: usize = 1024;

/// A relative path that stays below where it is put: `onnx/model.onnx`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

/// What is wrong with a name. `Display` goes on behind "which".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// From the root.
    Absolute,
    /// Through `..`.
    Traversal,
    /// No text.
    NotText,
    /// Longer than file systems take.
    TooLong,
    /// None at all.
    Empty,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "is absolute",
            Self::Traversal => "leads out of the folder",
            Self::NotText => "isn't plain text",
            Self::TooLong => "is too long",
            Self::Empty => "is empty",
        })
    }
}

impl FileName {
    /// Reads a name as archives and servers write it, with slashes.
    pub fn parse(name: &[u8]) -> Result<Self, BadName> {
        let name = std::str::from_utf8(name).map_err(|_| BadName::NotText)?;
        if name.contains(|c: char| c.is_control()) {
            return Err(BadName::NotText);
        }
        // A backslash is a separator where some archives come from: taken for a letter here, it would be none there.
        if name.starts_with(['/', '\\']) || name.as_bytes().get(1) == Some(&b':') {
            return Err(BadName::Absolute);
        }
        if name.len() > LONGEST {
            return Err(BadName::TooLong);
        }
        let mut parts = Vec::new();
        for part in name.split(['/', '\\']) {
            match part {
                "" | "." => {}
                ".." => return Err(BadName::Traversal),
                part if part.len() > LONGEST_PART => return Err(BadName::TooLong),
                part => parts.push(part),
            }
        }
        if parts.is_empty() { Err(BadName::Empty) } else { Ok(Self(parts.join("/"))) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is below a folder.
    #[must_use]
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }

    /// Whether it or a folder of it begins with a dot.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.0.split('/').any(|part| part.starts_with('.'))
    }

    /// Behind the last slash.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, last)| last)
    }

    /// Before the last slash; empty at the top.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// What is left of it below a folder; `None` where it isn't below.
    #[must_use]
    pub fn within(&self, folder: &str) -> Option<Self> {
        if folder.is_empty() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(folder)?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }

    /// Another in the same folder; `None` if it would lead out of it.
    #[must_use]
    pub fn beside(&self, name: &str) -> Option<Self> {
        let name = Self::parse(name.as_bytes()).ok()?;
        Some(if self.folder().is_empty() { name } else { Self(format!("{}/{}", self.folder(), name.0)) })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Result<String, BadName> {
        FileName::parse(name.as_bytes()).map(|name| name.0)
    }

    #[test]
    fn plain_names_are_taken() {
        assert_eq!(parsed("./onnx//model.onnx").unwrap(), "onnx/model.onnx");
        assert_eq!(parsed("onnx\\model.onnx").unwrap(), "onnx/model.onnx");
        assert_eq!(parsed("a..b/..c").unwrap(), "a..b/..c");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../a", "a/../../b", "a/..", "..", "a\\..\\b"] {
            assert_eq!(parsed(name), Err(BadName::Traversal), "{name}");
        }
        for name in ["/etc/passwd", "\\a", "C:\\a", "c:a"] {
            assert_eq!(parsed(name), Err(BadName::Absolute), "{name}");
        }
        for name in ["", ".", "./", "//"] {
            assert!(parsed(name).is_err(), "{name}");
        }
        assert_eq!(parsed("a\0b"), Err(BadName::NotText));
        assert_eq!(FileName::parse(b"a\xff"), Err(BadName::NotText));
        assert_eq!(parsed(&"a".repeat(256)), Err(BadName::TooLong));
    }

    #[test]
    fn parts_of_names() {
        let name = FileName::parse(b"a/onnx/model.onnx").unwrap();
        assert_eq!((name.folder(), name.last()), ("a/onnx", "model.onnx"));
        assert_eq!(name.within("a").unwrap().as_str(), "onnx/model.onnx");
        assert_eq!(name.within("a/on"), None);
        assert_eq!(name.beside("w.bin").unwrap().as_str(), "a/onnx/w.bin");
        assert_eq!(name.beside("../w.bin"), None);
        assert!(FileName::parse(b"a/.git/x").unwrap().is_hidden() && !name.is_hidden());
    }
}
